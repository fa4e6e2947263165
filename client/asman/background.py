"""An event loop in a thread of its own, for callers that don't use ``await``."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Final, TypeVar

from asman_shared.errors import ConnectionFailed

from .connection import CLOSED

LEAVE_SECONDS: Final = 1.0
"""Time limit for closing what lives on a loop when the program ends, in seconds."""
END_SECONDS: Final = 10.0
"""Time limit for the end of the work that is under way when a loop is stopped, in seconds."""

R = TypeVar("R")
T = TypeVar("T")


_started: Final[set[BackgroundLoop]] = set()
"""The loops whose thread still runs, also those of objects that were dropped without being closed."""


class BackgroundLoop:
    """Runs an event loop in a daemon thread.

    At the end of the program, what `closes` was given is closed, for at most `LEAVE_SECONDS`: connections that are only
    dropped would be complained about on standard error while Python takes its objects apart.

    The thread stands still from the end of the program on. What then still asks for the loop, such as an iterator that
    is closed because its variable goes away, is told that the loop has ended, and waits for nothing.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._ended = False
        self._close: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="asman", daemon=True)
        self._thread.start()
        _started.add(self)

    @property
    def ended(self) -> bool:
        """True once `stop` was called, or the program ends."""
        return self._ended

    def closes(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Has the end of the program close what lives on this loop, unless `stop` comes first.

        Args:
            close: Closes it.
        """
        self._close = close

    def leave(self) -> None:
        """Closes what lives on this loop, if it can be done soon, and lets nothing wait for the loop any more."""
        if not self._ended and self._close is not None:
            with contextlib.suppress(Exception):  # nobody is left to be told
                asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(LEAVE_SECONDS)
        self._ended = True

    def start(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Starts a coroutine on the loop without waiting for it.

        Raises:
            ConnectionFailed: The loop was stopped, because its queue was closed; the coroutine is closed.
        """
        if not self._ended:  # at the end of a program a thread that stands still may hold the lock
            with self._lock:
                if not self._ended:
                    return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise ConnectionFailed(CLOSED)

    def call(self, function: Callable[[], object]) -> None:
        """Schedules a function on the loop; does nothing when the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Runs a coroutine on the loop and waits for its result; an interrupt here cancels the coroutine.

        Raises:
            ConnectionFailed: The loop was stopped, before or meanwhile.
        """
        future = self.start(work)
        try:
            return future.result()
        except CancelledError:
            if not self._ended:
                raise
            raise ConnectionFailed(CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Iterates over an async iterator from this thread, one item at a time.

        An interrupt here, such as Ctrl-C, ends the iterator, and is raised.
        """
        reading: asyncio.Task[Any] | None = None

        async def following() -> tuple[T] | None:
            nonlocal reading
            reading = asyncio.current_task()
            try:
                return (await anext(items),)
            except StopAsyncIteration:
                return None

        async def end() -> None:
            if reading is not None and not reading.done():  # an iterator that still runs can't be closed
                await asyncio.wait([reading])
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

        try:
            while (found := self.run(following())) is not None:
                yield found[0]
        finally:
            if not self._ended:  # stopping the loop closes its iterators
                with contextlib.suppress(ConnectionFailed):
                    self.run(end())

    def stop(self) -> None:
        """Stops the loop and ends its thread; what still runs on it is cancelled. Does nothing the second time."""
        if self._ended:
            return
        with self._lock:
            if self._ended:
                return
            self._ended = True
            _started.discard(self)
            last = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        try:
            last.result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=END_SECONDS)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


@atexit.register
def _program_ends() -> None:
    """Lets nothing wait for the loops any more, whose threads stand still after this."""
    for each in list(_started):
        each.leave()
