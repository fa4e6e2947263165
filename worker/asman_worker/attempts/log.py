"""The log of one attempt: numbers, batches and bounds its lines, and sends them again after a reconnect."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from asman_shared import limits
from asman_shared.messages import LF, STDERR, STDOUT, SYSTEM, LogLine
from asman_shared.states import Phase
from asman_shared.units import MIB

from ..execution.lines import LineSplitter, Piece

BATCH_SECONDS: Final = 0.05
"""Longest time that a line waits for others, in seconds."""
RING_BYTES: Final = MIB
"""Memory for the lines that are kept, in bytes."""
_LINE_OVERHEAD: Final = 64
"""Estimated memory of one line beside its text, in bytes."""


class AttemptLog:
    """Numbers the lines of one attempt and keeps the newest of them until the attempt is forgotten.

    Lines wait here until the connection takes them (`take`), so a slow hub slows the job's output and never fills
    this process's memory. While there is no connection, or past ``most`` bytes of log, the oldest lines are dropped,
    which leaves a gap in the seqs.

    Args:
        first: The seq of the first line.
        ready: Called when a batch is ready; not called again until it is taken.
        most: Past this many bytes of text, lines wait for `finish`, and only the newest `RING_BYTES` are kept.
    """

    __slots__ = (
        "_bytes",
        "_capped",
        "_live",
        "_most",
        "_ready",
        "_ring",
        "_room",
        "_sent",
        "_signalled",
        "_splitters",
        "_timer",
        "_total",
        "next",
        "phase",
    )

    def __init__(self, first: int, ready: Callable[[], None], *, most: int = 0) -> None:
        self.next = first
        self.phase = Phase.RUNNING
        self._ready = ready
        self._most = most
        self._ring: deque[LogLine] = deque()
        self._bytes = 0
        self._total = 0
        self._sent = first
        self._live = False
        self._capped = False
        self._signalled = False
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Event | None = None
        self._splitters: dict[int, LineSplitter] = {}

    # ------------------------------------------------------------------------------------------------ input

    def feed(self, stream: int, chunk: bytes, when: int | None = None) -> None:
        """Takes bytes of a stream (`STDOUT` or `STDERR`); ``when`` is their time in epoch milliseconds."""
        splitter = self._splitters.get(stream)
        if splitter is None:
            splitter = self._splitters[stream] = LineSplitter()
        if lines := splitter.feed(chunk):
            self._append(stream, lines, when)

    def close_streams(self) -> None:
        """Ends the streams; unfinished lines become whole lines."""
        for stream in (STDOUT, STDERR):
            if (splitter := self._splitters.pop(stream, None)) and (lines := splitter.flush()):
                self._append(stream, lines, None)

    def say(self, text: str) -> None:
        """Adds text of the worker's own about the job, as lines like those of the job.

        The text may contain untrusted parts: without the splitter, a file name with half a character would make a
        message that can't be encoded.
        """
        splitter = LineSplitter()
        pieces = splitter.feed(text.encode("utf-8", "replace")) + splitter.flush()
        self._append(SYSTEM, [(piece, LF) for piece, _ in pieces], None)

    @property
    def clean(self) -> bool:
        """True while no stream has an unfinished line."""
        return not any(splitter.partial for splitter in self._splitters.values())

    async def room(self) -> None:
        """Waits until there is space for more lines; returns at once without a connection or past the log's limit."""
        while self._bytes > RING_BYTES and self._live and not self._capped and self.pending:
            self.flush()
            self._room = self._room or asyncio.Event()
            self._room.clear()
            await self._room.wait()

    def _append(self, stream: int, pieces: Iterable[Piece], when: int | None) -> None:
        now = time.time_ns() // 1_000_000 if when is None else when
        phase = self.phase
        for text, end in pieces:
            self._ring.append(LogLine(self.next, now, stream, text, phase, end))
            self.next += 1
            self._bytes += len(text) + _LINE_OVERHEAD
            self._total += len(text)
        if self._most and self._total > self._most:
            self._capped = True
        self._trim()
        if self._live and not self._signalled and not self._capped:
            if self.pending >= limits.LOG_BATCH_LINES:
                self.flush()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self.flush)

    def _trim(self) -> None:
        ring = self._ring
        keep_unsent = self._live and not self._capped
        while self._bytes > RING_BYTES and ring and not (keep_unsent and ring[0].seq >= self._sent):
            self._bytes -= len(ring.popleft().text) + _LINE_OVERHEAD

    # ------------------------------------------------------------------------------------------------ output

    @property
    def pending(self) -> int:
        """Number of lines that have not been taken."""
        return max(0, self.next - self._sent)

    @property
    def sent(self) -> int:
        """The seq before which all lines have been taken."""
        return self._sent

    def start_at(self, seq: int) -> None:
        """Sets the seq of the next line; called for a resumed attempt, before its first line."""
        self.next = seq

    def flush(self) -> None:
        """Signals at once that lines can be taken."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._live and not self._signalled and self.pending:
            self._signalled = True
            self._ready()

    def finish(self) -> None:
        """Ends the log, and releases the lines that were held back."""
        self.close_streams()
        self._capped = False
        self._most = 0
        self.flush()

    def take(self) -> list[LogLine]:
        """Takes the next lines to send, if any: at most `limits.LOG_BATCH_LINES` and about 256 KiB."""
        self._signalled = False
        ring = self._ring
        if not ring or not self.pending or self._capped:
            return []
        skip = max(0, self._sent - ring[0].seq)
        lines: list[LogLine] = []
        size = 0
        for index in range(skip, len(ring)):
            line = ring[index]
            size += len(line.text)
            if lines and (len(lines) >= limits.LOG_BATCH_LINES or size > MIB // 4):
                break
            lines.append(line)
        self._sent = lines[-1].seq + 1 if lines else self.next
        self._trim()
        if self._room is not None and self._bytes <= RING_BYTES:
            self._room.set()
        return lines

    def unsent(self) -> list[LogLine]:
        """Returns all kept lines that were not taken."""
        return [line for line in self._ring if line.seq >= self._sent]

    def restore(self, lines: list[LogLine]) -> None:
        """Restores lines that an earlier process stored with the result."""
        for line in lines:
            self._ring.append(line)
            self._bytes += len(line.text) + _LINE_OVERHEAD
            self.next = line.seq + 1

    # ---------------------------------------------------------------------------------------------- connections

    def resume(self, wanted: int) -> None:
        """Starts sending on a new connection, from the line with seq ``wanted`` on."""
        self._live = True
        self._signalled = False
        self._sent = wanted
        self.flush()

    def pause(self) -> None:
        """Stops sending after a disconnect; ends all waits for space, and allows old lines to be dropped."""
        self._live = False
        self._signalled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._room is not None:
            self._room.set()
        self._trim()

    def close(self) -> None:
        """Drops all lines, once the attempt is forgotten."""
        self.pause()
        self._ring.clear()
        self._ready = _nothing


def _nothing() -> None:
    """Replaces the callback of a closed log, so that the log keeps nothing else alive."""
