"""Many calls of an `Executor` at once: the ways to make them, and the jobs that are in flight."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import Any, Final, Literal, TypeVar, overload

from . import calls
from .calls import Call, Outcomes, Pace

T = TypeVar("T")

FIRST_JOBS: Final = 8
"""Maximum number of jobs that an `Executor.map` has in flight until the duration of its calls is known."""
CALLS_AHEAD: Final = 20_000
"""Maximum number of calls that an `Executor.map` has in flight, over all its jobs."""


def attempt(read: Callable[[], T]) -> tuple[T, None] | tuple[None, BaseException]:
    """Returns a value or the exception; an asyncio future can't hold a StopIteration."""
    try:
        return read(), None
    except BaseException as error:
        return None, error


class Ahead:
    """The jobs of one `Executor.map` that are in flight.

    Args:
        start: Starts a job that makes some calls.
        source: All calls.
        pace: Decides how many calls a job makes.
        window: Maximum number of jobs in flight.
        whole: Whether errors are yielded in the place of results. Jobs then make all their calls.
    """

    def __init__(
        self,
        start: Callable[[list[Call]], Future[Outcomes]],
        source: Iterator[Call],
        pace: Pace,
        window: int,
        *,
        whole: bool,
    ) -> None:
        self._start = start
        self._source = source
        self._pace = pace
        self._window = window
        self._whole = whole
        self._waiting: deque[tuple[Future[Outcomes], int]] = deque()
        self._calls = 0

    def fill(self) -> None:
        """Submits jobs up to the limits."""
        most = self._window if self._pace.known else min(FIRST_JOBS, self._window)
        while len(self._waiting) < most and self._calls < CALLS_AHEAD:
            batch = list(islice(self._source, self._pace.size))
            if not batch:
                return
            self._waiting.append((self._start(batch), len(batch)))
            self._calls += len(batch)

    def results(self, until: float | None) -> Iterator[Any]:
        """Yields the results in order.

        Args:
            until: Time of `time.monotonic` at which all must be taken; None for no limit.
        """
        try:
            while self._waiting:
                future, size = self._waiting[0]
                found = self._found(future, None if until is None else max(0.0, until - time.monotonic()))
                self._waiting.popleft()
                self._calls -= size
                if isinstance(found, Exception):
                    self.fill()
                    yield from [found] * size
                    continue
                self._pace.took(found.seconds, found.outcomes)
                self.fill()
                yield from self._values(found, size)
        finally:
            for future, _ in self._waiting:
                future.cancel()

    def _found(self, future: Future[Outcomes], timeout: float | None) -> Outcomes | Exception:
        """Waits for a job; returns its outcomes, or the error of one that failed, if that is not to be raised."""
        try:
            return future.result(timeout)
        except Exception as error:
            if not self._whole or not future.done():
                raise
            return error

    def _values(self, found: Outcomes, size: int) -> Iterator[Any]:
        """Yields the values of a job's calls; what kept it from any call is the error of all."""
        outcomes = found.outcomes
        if self._whole and outcomes:
            outcomes = [*outcomes, *[outcomes[-1]] * (size - len(outcomes))]
        for outcome in outcomes:
            value, error = attempt(partial(calls.value_of, outcome, found.trusted))
            if error is not None and not (self._whole and isinstance(error, Exception | SystemExit)):
                raise error
            yield value if error is None else error


class Maps(ABC):
    """The ways to make many calls."""

    @overload
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        return_exceptions: Literal[False] = False,
    ) -> Iterator[T]: ...

    @overload
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        return_exceptions: Literal[True],
    ) -> Iterator[T | Exception]: ...

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        return_exceptions: bool = False,
    ) -> Iterator[T] | Iterator[T | Exception]:
        """Yields ``fn`` of the items, in order, as the built-in ``map`` does; items are read as results are taken.

        Args:
            fn: The function; it is sent once.
            *iterables: Its arguments; they may be endless.
            timeout: Time from now in which all results must be taken, in seconds.
            chunksize: Number of calls in one job; 0 to measure how many take about a second.
            kwargs: Keyword arguments of all calls.
            return_exceptions: Whether the exception of a call is yielded in the place of its result, and the others go
                on. So is the error of a job that failed, once for each of its calls.

        Raises:
            TimeoutError: The time is over; the calls in flight are cancelled.
            BaseException: The exception of a call, without ``return_exceptions``; the calls in flight are cancelled.
        """
        source = zip(*iterables, strict=False)
        return self._map(fn, source, timeout, chunksize, kwargs, whole=return_exceptions)

    @overload
    def starmap(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        *,
        timeout: float | None = None,
        chunksize: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        return_exceptions: Literal[False] = False,
    ) -> Iterator[T]: ...

    @overload
    def starmap(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        *,
        timeout: float | None = None,
        chunksize: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        return_exceptions: Literal[True],
    ) -> Iterator[T | Exception]: ...

    def starmap(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        *,
        timeout: float | None = None,
        chunksize: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        return_exceptions: bool = False,
    ) -> Iterator[T] | Iterator[T | Exception]:
        """Yields ``fn(*item)`` of the items, in order, as `itertools.starmap` does; the rest is as in `map`."""
        return self._map(fn, iterable, timeout, chunksize, kwargs, whole=return_exceptions)

    @abstractmethod
    def _map(
        self,
        fn: Callable[..., T],
        items: Iterable[Iterable[Any]],
        timeout: float | None,
        chunksize: int,
        kwargs: Mapping[str, Any] | None,
        *,
        whole: bool,
    ) -> Iterator[Any]: ...
