"""What is known of one job while it is followed: its newest state, and the lines of its log not yet read."""

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
"""Lines that wait for a slow reader; later ones are fetched again when it gets there."""
TAIL_BYTES: Final = 8 * MIB
"""Characters of them after which no more are taken."""


class _Signal:
    """Wakes all who wait."""

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
        state: As last heard; None before the first answer.
        followed: Whether the hub was asked to push changes.
        error: Why nothing more will be heard, if so.
    """

    def __init__(self) -> None:
        self.state: JobState | None = None
        self.followed = False
        self.error: AsmanError | None = None
        self._said: PhaseProgress | None = None
        self._signal = _Signal()

    @property
    def verdict(self) -> Verdict | None:
        """How the job ended, when it has."""
        state = self.state
        if state is None or state.state not in (State.FINISHED, State.REMOVED):
            return None
        if state.verdict is not None:
            return state.verdict
        return Verdict(ok=False, reason=Reason.DELETED, message="it was removed from the hub")

    @property
    def progress(self) -> PhaseProgress | None:
        """How far its present phase is, when its worker says so.

        Unlike a state, it does not wait until it is durable: it may come before the state that begins its phase.
        """
        said, state = self._said, self.state
        if said is None or state is None or (said.attempt, said.phase) != (state.attempt, state.phase):
            return None
        return said

    def answered(self, state: JobState) -> None:
        """Takes a state that was asked for: it is the job as it is now, whatever was known before."""
        if state.summary is None and self.state is not None:
            state = replace(state, summary=self.state.summary)
        self.state = state
        self._signal.wake()

    def pushed(self, state: JobState) -> None:
        """Takes a pushed state if it is newer; an ended run stays ended, a later run has its own handle."""
        if self.state is not None and (state.rev <= self.state.rev or self.verdict is not None):
            return
        self.answered(state)

    def progressed(self, progress: PhaseProgress) -> None:
        """Takes how far a phase is."""
        self._said = progress
        self._signal.wake()

    def failed(self, error: AsmanError) -> None:
        """Nothing more will be heard of this job."""
        self.error = error
        self._signal.wake()

    def wake(self) -> None:
        """Wakes those who wait for a change."""
        self._signal.wake()

    async def change(self) -> None:
        """Waits for the next change of the state or of a tail.

        Raises:
            AsmanError: Nothing more will be heard.
        """
        if self.error is None:
            await self._signal.wait()
        if self.error is not None and self.verdict is None:
            raise self.error


class Tail:
    """Pushed log lines of a job that wait to be read.

    Lines that do not fit are dropped; the reader sees the hole and fetches them.

    Args:
        tracker: The job's; it is woken when lines come.
        since: The seq of the first line that is wanted.

    Attributes:
        next: The seq of the next line that is wanted from the hub.
        dropped: Lines came that did not fit.
    """

    def __init__(self, tracker: Tracker, since: int) -> None:
        self._tracker = tracker
        self.next = since
        self.dropped = False
        self._parts: deque[tuple[list[LogLine], int]] = deque()
        self._count = 0
        self._size = 0

    def pushed(self, lines: list[LogLine]) -> None:
        """Takes lines, in order; those that came before are dropped."""
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
        """The next lines that wait, some at a time; none when none wait."""
        if not self._parts:
            return []
        lines, size = self._parts.popleft()
        self._count -= len(lines)
        self._size -= size
        return lines
