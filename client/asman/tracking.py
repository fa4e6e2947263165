"""Tracking of one followed job: its newest state, and the unread lines of its log."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from msgspec.structs import replace

from asman_shared.errors import AsmanError
from asman_shared.messages import JobState, LogLine, PhaseProgress, Verdict
from asman_shared.states import Reason, State
from asman_shared.units import MIB

TAIL_LINES: Final = 10_000
"""Maximum number of lines buffered for a slow reader; later ones are fetched again when the reader reaches them."""
TAIL_BYTES: Final = 8 * MIB
"""Number of buffered characters above which no more lines are accepted."""


class _Signal:
    """An event that wakes all present waiters."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


class Tracker:
    """The newest state of a job, for one handle of it.

    Attributes:
        state: The newest known state; None before the first answer.
        followed: Whether the hub was asked to push changes.
        error: The error after which no further state will arrive, if any.
    """

    def __init__(self) -> None:
        self.state: JobState | None = None
        self.followed = False
        self.error: AsmanError | None = None
        self._progress: PhaseProgress | None = None
        self._signal = _Signal()

    @property
    def verdict(self) -> Verdict | None:
        """The job's verdict, or None while it is not finished."""
        state = self.state
        if state is None or state.state not in (State.FINISHED, State.REMOVED):
            return None
        if state.verdict is not None:
            return state.verdict
        return Verdict(ok=False, reason=Reason.DELETED, message="it was removed from the hub")

    @property
    def progress(self) -> PhaseProgress | None:
        """Progress of the present phase, if its worker reports it.

        Unlike a state, progress is not held back until it is durable: it may arrive before the state of its phase.
        """
        progress, state = self._progress, self.state
        if progress is None or state is None or (progress.attempt, progress.phase) != (state.attempt, state.phase):
            return None
        return progress

    def answered(self, state: JobState) -> None:
        """Takes a requested state, which replaces any earlier one."""
        if state.summary is None and self.state is not None:
            state = replace(state, summary=self.state.summary)
        self.state = state
        self._signal.wake()

    def pushed(self, state: JobState) -> None:
        """Takes a pushed state if it is newer; a finished run stays finished, as a later run has its own handle."""
        if self.state is not None and (state.version <= self.state.version or self.verdict is not None):
            return
        self.answered(state)

    def progressed(self, progress: PhaseProgress) -> None:
        """Takes the progress of a phase."""
        self._progress = progress
        self._signal.wake()

    def failed(self, error: AsmanError) -> None:
        """Takes the error after which no further state of this job will arrive."""
        self.error = error
        self._signal.wake()

    def wake(self) -> None:
        """Wakes all callers of `change`."""
        self._signal.wake()

    async def change(self) -> None:
        """Waits for the next change of the state or of a tail.

        Raises:
            AsmanError: No further state will arrive.
        """
        if self.error is None:
            await self._signal.wait()
        if self.error is not None and self.verdict is None:
            raise self.error


class Tail:
    """A buffer of pushed log lines of a job.

    Lines that do not fit are dropped; the reader notices the gap and fetches them.

    Args:
        tracker: The job's tracker; it is woken when lines arrive.
        since: The seq of the first line.

    Attributes:
        next: The seq of the next line to accept from the hub.
        dropped: Whether lines were dropped that did not fit.
    """

    def __init__(self, tracker: Tracker, since: int) -> None:
        self._tracker = tracker
        self.next = since
        self.dropped = False
        self._parts: deque[tuple[list[LogLine], int]] = deque()
        self._count = 0
        self._size = 0

    def pushed(self, lines: list[LogLine]) -> None:
        """Takes lines, in order; lines that arrived before are ignored."""
        if lines and lines[0].seq < self.next:
            lines = [line for line in lines if line.seq >= self.next]
        if self._size > TAIL_BYTES or len(lines) > TAIL_LINES - self._count:
            self.dropped = True
            lines = lines[: TAIL_LINES - self._count] if self._size <= TAIL_BYTES else []
        if lines:
            size = sum([len(line.text) for line in lines])
            self._parts.append((lines, size))
            self._count += len(lines)
            self._size += size
            self.next = lines[-1].seq + 1
        self._tracker.wake()

    def pop(self) -> list[LogLine]:
        """Removes and returns the oldest buffered lines, some at a time; empty if there are none."""
        if not self._parts:
            return []
        lines, size = self._parts.popleft()
        self._count -= len(lines)
        self._size -= size
        return lines
