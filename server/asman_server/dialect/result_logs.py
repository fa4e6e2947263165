"""Compares the log that came with a result with the lines that its worker has streamed, to store what is missing.

A worker sends its lines while the job runs, and all of them once more with the result. What it sent while it was
disconnected has not arrived. Lines are compared by stream and text, and counted: so none is stored twice, whichever
part of the log was streamed, and however either was cut into pieces.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from asman_shared import limits
from asman_shared.messages import LF, LINE_ENDS, NO_END, LogLine

from ..queues.queue_logs import QueueLogs
from .live_logs import step_of

AT_ONCE: Final = 10_000
"""Number of lines that are compared before other tasks get their turn."""

Key = tuple[int, str]
"""(stream, text with its end) of a line."""


class _Line(Struct):
    """A line that may have arrived in pieces.

    Attributes:
        stream: The stream.
        texts: The texts of the pieces, with their ends.
        at: The pieces' places in the log.
    """

    stream: int
    texts: list[str]
    at: list[int]

    @property
    def key(self) -> Key:
        return self.stream, "".join(self.texts)


class _Joining:
    """Puts lines together from pieces of both streams; a build and a run do not continue each other's lines."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, bool], _Line] = {}

    def take(self, piece: LogLine, at: int = 0) -> _Line | None:
        """Takes the next piece; returns the line that it ends."""
        writer = piece.stream, piece.phase.prepares
        line = self._open.setdefault(writer, _Line(piece.stream, [], []))
        line.texts.append(_text(piece))
        line.at.append(at)
        return None if piece.end == NO_END else self._open.pop(writer)

    def rest(self) -> Iterator[_Line]:
        """Yields the lines that have no end."""
        yield from self._open.values()


class _Stored:
    """The lines of the job's log that the result has, too.

    Attributes:
        counts: How often each is there.
        begun: Lines of which only a beginning is there.
        gap: Whether lines of this log are no longer kept, so that nobody knows whether they were streamed.
    """

    def __init__(self) -> None:
        self.counts: Counter[Key] = Counter()
        self.begun: list[Key] = []
        self.gap = False


def _text(piece: LogLine) -> str:
    return piece.text + LINE_ENDS[piece.end]


async def not_streamed(logs: QueueLogs, job: str, since: int, sent: list[LogLine]) -> list[LogLine]:
    """Returns the lines of a result's log that are not in the job's log, in order.

    If a part of the job's log is no longer kept, only the lines after the last one that was streamed are returned.

    Args:
        logs: The queue's logs.
        job: Id of the job.
        since: Seq of the first line of the attempt.
        sent: The result's log; a line of which a part was streamed is shortened.

    Raises:
        Unavailable: The database can't be read now.
    """
    lines: list[_Line] = []
    joining = _Joining()
    for at, piece in enumerate(sent):
        line = joining.take(piece, at)
        if line is not None:
            lines.append(line)
        if at % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
    lines += joining.rest()
    stored = await _stored(logs, job, since, {line.key for line in lines})
    missing: list[_Line] = []
    for number, line in enumerate(lines):
        key = line.key
        if stored.counts[key]:
            stored.counts[key] -= 1
            if stored.gap:
                missing = []
        else:
            missing.append(line)
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
    for stream, text in stored.begun:
        line = next((one for one in missing if one.stream == stream and one.key[1].startswith(text)), None)
        if line is not None:
            _shorten(line, sent, len(text))
    return [sent[at] for at in sorted(at for line in missing for at in line.at)]


async def _stored(logs: QueueLogs, job: str, since: int, wanted: set[Key]) -> _Stored:
    found = _Stored()
    joining = _Joining()
    at_end = False
    while not at_end:
        pieces, at_end = await logs.read(job, since, limits.LOG_BATCH_LINES)
        if not pieces:
            break
        for piece in pieces:
            found.gap |= piece.seq != since
            since = piece.seq + 1
            line = joining.take(piece) if step_of(piece) else None
            if line is not None and (key := line.key) in wanted:
                found.counts[key] += 1
        await asyncio.sleep(0)
    for line in joining.rest():
        if line.key in wanted:
            found.counts[line.key] += 1
        else:
            found.begun.append(line.key)
    return found


def _shorten(line: _Line, sent: list[LogLine], size: int) -> None:
    """Takes the first characters off a line."""
    while size >= len(line.texts[0]) and len(line.texts) > 1:
        size -= len(line.texts.pop(0))
        line.at.pop(0)
    piece = sent[line.at[0]]
    if size > len(piece.text):  # its carriage return was streamed as well
        piece.end = LF
    piece.text = piece.text[size:]
