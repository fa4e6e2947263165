"""Reads logs in the dialect's two kinds, by cursor: the number of earlier lines of the same kind.

The hub numbers all lines of a job together. The dialect counts the lines of the build and those of the run apart, from
the run's first line. The position of each recent cursor is remembered (`Cursors`), so that a reader that polls costs
only the new lines. Lines that are no longer kept are counted, too: a slice ends before such a gap, and the next slice
begins after it, as its ``sliceStart`` shows.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal

from msgspec import Struct

from asman_shared import limits
from asman_shared.messages import LogLine
from asman_shared.states import State

from ..core.job_state import log_end
from ..queues.shell import QueueShell
from .live_logs import is_build_line, is_run_line, log_of
from .outgoing import Log, sentence_of

Kind = Literal["build", "run"]

SLICE_LINES: Final = 10_000
"""Largest number of lines in one slice."""
SLICE_BYTES: Final = 1024 * 1024
"""Approximate size of the text in one slice, in bytes."""
REMEMBERED: Final = 10_000
"""Largest number of remembered positions."""

Place = tuple[str, str, int, Kind, int]
"""(queue, job, number of the run, kind, cursor)."""


class Slice(Struct, rename="camel"):
    """Some lines of a log.

    Attributes:
        data: The lines, in order.
        slice_start: The cursor of the first line; larger than the requested one when lines are no longer kept.
        next_cursor: The ``since`` of the next slice; the requested one when there are no lines from it on.
        is_final: The job is finished and has no further lines.
    """

    data: list[Log]
    slice_start: int
    next_cursor: int
    is_final: bool


def is_of(kind: Kind, line: LogLine) -> bool:
    """Whether a line belongs to a log of this kind."""
    return is_build_line(line) if kind == "build" else is_run_line(line)


class Cursors:
    """The positions of the lines of recently issued cursors."""

    def __init__(self) -> None:
        self._known: OrderedDict[Place, int] = OrderedDict()

    def remember(self, place: Place, seq: int) -> None:
        """Remembers that the line at this cursor is at ``seq`` or after it."""
        self._known[place] = seq
        self._known.move_to_end(place)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def queue_deleted(self, queue: str) -> None:
        """Forgets the cursors of a queue."""
        for place in [place for place in self._known if place[0] == queue]:
            del self._known[place]

    def get(self, place: Place) -> int | None:
        """Returns the position of a cursor's line."""
        return self._known.get(place)


async def read_slice(shell: QueueShell, cursors: Cursors, job_id: str, kind: Kind, since: int) -> Slice:
    """Returns the lines of a kind from a cursor on.

    The log of a run that failed before it wrote a line is the sentence that says why. A reader beyond the end of the
    log is told no lines and the cursor that it asked for, until the log has a line with this number.

    Raises:
        NotFound: The queue has no such job.
        Unavailable: The database can't be read now.
    """
    job = await shell.job(job_id)
    state = await shell.durable(job)
    run = (shell.name, job_id, job.number, kind)
    known = cursors.get((*run, since))
    seq, cursor = (known, since) if known is not None else (state.log_start, 0)
    found = Slice([], since, since, False)
    size = 0
    at_end = False
    while not at_end:
        until = log_end(job) if state.state is State.FINISHED else None
        lines, at_end = await shell.logs.read(job_id, seq, limits.LOG_BATCH_LINES, until)
        for line in lines:
            if not is_of(kind, line):
                seq = line.seq + 1
                continue
            gap = line.seq - seq
            if found.data and (gap or len(found.data) == SLICE_LINES or size >= SLICE_BYTES):
                cursors.remember((*run, found.next_cursor), seq)
                return found
            cursor += gap
            if cursor >= since:
                if not found.data:
                    found.slice_start = cursor
                found.data.append(log_of(line))
                found.next_cursor = cursor + 1
                size += len(line.text)
            cursor += 1
            seq = line.seq + 1
        if not lines:
            break
    found.is_final = state.state is State.FINISHED and job.state is State.FINISHED
    sentence = sentence_of(state) if found.is_final and kind == "run" and since == cursor == 0 else None
    if sentence is not None:
        found.data.append(sentence)
        found.next_cursor = 1
    if cursor == found.next_cursor:  # a cursor beyond the end has no place yet
        cursors.remember((*run, cursor), seq)
    return found
