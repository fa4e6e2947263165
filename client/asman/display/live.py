"""Live progress of many jobs: a line on a terminal, an output that changes in a notebook, and nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sized
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from asman_shared.terminal import safe_text
from asman_shared.units import format_duration, format_size

from . import html

if TYPE_CHECKING:
    from asman_shared import messages as m

T = TypeVar("T")

EVERY: Final = 0.1
"""Shortest time between two drawings, in seconds."""
_BAR: Final = 24
"""Width of the bar on a terminal, in columns."""


class Shown:
    """A state that is shown while it changes."""

    @property
    def share(self) -> float | None:
        """The part that is done, from 0 to 1; None if it is not known."""
        raise NotImplementedError

    def words(self) -> str:
        """Returns the state in words."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.words()

    def _repr_html_(self) -> str:
        share = self.share
        bar = "" if share is None else f'<progress max="1" value="{share:.4f}"></progress> '
        return f"<div>{bar}{html.text(self.words())}</div>"


class FollowedJob(Protocol):
    """A job whose states can be followed, as `asman.Job` is."""

    @property
    def state(self) -> m.JobState:
        """The newest known state."""

    @property
    def progress(self) -> m.PhaseProgress | None:
        """Progress of the present phase, if it is known."""

    def steps(self) -> AsyncIterator[tuple[m.JobState, m.PhaseProgress | None]]:
        """Yields each newer state and progress."""


class JobProgress(Shown):
    """The phase of one job, with its progress if the worker reports it."""

    def __init__(self, job: FollowedJob) -> None:
        self._job = job

    @property
    def share(self) -> float | None:
        """The part of the phase that is done."""
        found = self._job.progress
        running = self._job.state.verdict is None
        return min(1.0, found.done / found.total) if running and found is not None and found.total else None

    def words(self) -> str:
        """Returns the job's state, the progress of its phase, and its time so far."""
        state = self._job.state
        told = [f"job {state.id[:12]} {html.state_words(state)}"]
        found = self._job.progress
        if state.verdict is not None:
            told += [html.took(state.verdict.duration)]
        elif found is not None:
            sizes = [format_size(n) if found.unit == "bytes" else str(n) for n in (found.done, found.total)]
            told += [" of ".join(sizes) + ("" if found.unit == "bytes" else f" {safe_text.word(found.unit)}".rstrip())]
        return " · ".join(filter(None, told))


class Tally(Shown):
    """Numbers of items that ended so far.

    Attributes:
        total: Number of items, if it is known.
        done: Number of items that ended.
        failed: Number of these that did not succeed.
    """

    def __init__(self, label: str, total: int | None) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.failed = 0
        self.ended = False
        self._began = time.monotonic()

    def count(self, item: object) -> None:
        """Counts an item: a job or result by its verdict, a future by its exception, anything else as a success."""
        self.done += 1
        self.failed += _failed(item)

    @property
    def seconds(self) -> float:
        """Time since the begin, in seconds."""
        return time.monotonic() - self._began

    def words(self) -> str:
        """Returns the numbers in words."""
        total = "" if self.total is None else f" of {self.total:,}"
        failed = f", {self.failed:,} failed" if self.failed else ""
        told = [f"{self.label} {self.done:,}{total}{failed}", format_duration(round(self.seconds * 1000))]
        if not self.ended and self.total is not None and 0 < self.done < self.total:
            left = self.seconds / self.done * (self.total - self.done)
            told.append(f"about {format_duration(round(left) * 1000)} left")
        return " · ".join(told)

    @property
    def share(self) -> float | None:
        """The part that is done, from 0 to 1; None if the total is not known."""
        return None if not self.total else min(1.0, self.done / self.total)


class _View(Protocol):
    def show(self, shown: Shown) -> None: ...

    def end(self, shown: Shown) -> None: ...


class _Nothing:
    """Shows nothing: the output goes to a file, a pipe, or the log of a CI system."""

    def show(self, shown: Shown) -> None:
        """Does nothing."""

    def end(self, shown: Shown) -> None:
        """Does nothing."""


class _Terminal:
    """One line of standard error that is drawn again and again."""

    def show(self, shown: Shown) -> None:
        """Draws the line in place of the one before."""
        share = shown.share
        filled = 0 if share is None else round(share * _BAR)
        bar = "" if share is None else f"[{'#' * filled}{'.' * (_BAR - filled)}] "
        sys.stderr.write(f"\r\x1b[2K{bar}{shown.words()}")
        sys.stderr.flush()

    def end(self, shown: Shown) -> None:
        """Draws the line for the last time, and ends it."""
        self.show(shown)
        sys.stderr.write("\n")


class _Notebook:
    """An output of a notebook's cell that is replaced."""

    def __init__(self, shown: Shown) -> None:
        from IPython import display

        show: Any = display.display
        self._handle: Any = show(shown, display_id=True)

    def show(self, shown: Shown) -> None:
        """Replaces the output."""
        if self._handle is not None:
            self._handle.update(shown)

    def end(self, shown: Shown) -> None:
        """Replaces the output for the last time."""
        self.show(shown)


def _view(shown: Shown) -> _View:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return _Notebook(shown)
    return _Terminal() if sys.stderr.isatty() else _Nothing()


class Progress(Generic[T]):
    """Items of a source, with their number shown while they are read; made by `progress`."""

    def __init__(self, items: Iterable[T] | AsyncIterable[T], total: int | None, label: str) -> None:
        self._items = items
        self._tally = Tally(label, total)
        self._drawn = 0.0

    def __repr__(self) -> str:
        return f"Progress({self._tally.words()})"

    def __iter__(self) -> Iterator[T]:
        if not isinstance(self._items, Iterable):
            raise TypeError("these items come one after another in time: read them with 'async for'")
        view = _view(self._tally)
        view.show(self._tally)
        try:
            for item in self._items:
                self._count(view, item)
                yield item
        finally:
            self._end(view)

    async def __aiter__(self) -> AsyncIterator[T]:
        if not isinstance(self._items, AsyncIterable):
            raise TypeError("these items are at hand: read them with 'for'")
        view = _view(self._tally)
        view.show(self._tally)
        source: Any = self._items.__aiter__()
        try:
            if hasattr(source, "aclose"):
                async with aclosing(source):
                    async for item in source:
                        self._count(view, item)
                        yield item
            else:
                async for item in source:
                    self._count(view, item)
                    yield item
        finally:
            self._end(view)

    def _count(self, view: _View, item: T) -> None:
        self._tally.count(item)
        now = time.monotonic()
        if now - self._drawn >= EVERY:
            self._drawn = now
            view.show(self._tally)

    def _end(self, view: _View) -> None:
        self._tally.ended = True
        view.end(self._tally)


def progress(items: Iterable[T] | AsyncIterable[T], total: int | None = None, *, label: str = "jobs") -> Progress[T]:
    """Shows how many items have come and failed, and how long the others may take, while a loop reads them.

    On a terminal it is a line of standard error, in a notebook an output of the cell. Elsewhere nothing is shown.

    Args:
        items: ``queue.run_many(…)`` for ``async for``; with `asman.sync`, or ``as_completed(futures)``, for ``for``.
        total: Their number; by default the length of the items, if they have one.
        label: The noun beside the numbers.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    return Progress(items, total, label)


async def watch(job: FollowedJob) -> None:
    """Shows a job's phases and their progress until it is finished, as `progress` shows many jobs."""
    shown = JobProgress(job)
    view = _view(shown)
    try:
        async for _ in job.steps():
            view.show(shown)
    finally:
        view.end(shown)


def _failed(item: object) -> bool:
    verdict = getattr(item, "verdict", None)
    if verdict is not None:
        return not verdict.ok
    if callable(done := getattr(item, "done", None)) and callable(error := getattr(item, "exception", None)):
        cancelled = getattr(item, "cancelled", None)
        return bool(done()) and ((callable(cancelled) and bool(cancelled())) or error() is not None)
    return False
