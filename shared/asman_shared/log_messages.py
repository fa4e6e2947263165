"""Requests for the runs of a job and their logs, and the answers; see `asman_shared.messages`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from . import limits, ranges
from .ranges import ContextLines, Count, JobId, LogPattern, Ref, Seq
from .records import JobState, LogLine, Message, Run
from .states import Phase

Stream = Literal["stdout", "stderr", "system"]
STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr", "system")
"""The streams of a log line, by their number."""


class Gap(Struct):
    """Lines ``since`` to ``until`` (not included) are no longer kept."""

    since: int
    until: int


class LogSelection(Struct, omit_defaults=True):
    r"""A selection of lines; the members apply together, in this order.

    Attributes:
        until: Only lines before this seq.
        streams: Only lines of these streams; all when empty.
        phases: Only lines of these phases; all when empty.
        around: ``first_error``: only the line that first looks like an error, and ``context`` lines on each side.
        grep: Only lines that match this: a regular expression in RE2's syntax, or plain text in ``\Q…\E``.
        ignore_case: ``grep`` ignores upper and lower case.
        context: Number of lines before and after each match of ``grep`` (default 0) or ``around`` (default 10).
        head: Only this many of the first lines; with ``grep``, of the matches, with the context of each.
        tail: Only this many of the last lines, likewise. With both, the first and the last.
        max_bytes: Only this many bytes of text, line ends included; with ``tail``, the last of them.
        before: In `LogPage.rest` only: the position of the search for a tail or an error.
        owed: In `LogPage.rest` only: number of lines that still belong to an earlier match.
        standing: In `LogPage.rest` only: the line to take if the search finds nothing.
    """

    until: Seq | None = None
    streams: Annotated[list[Stream], Meta(max_length=len(STREAMS))] = []
    phases: Annotated[list[Phase], Meta(max_length=len(Phase))] = []
    around: Literal["", "first_error"] = ""
    grep: LogPattern = ""
    ignore_case: bool = False
    context: ContextLines | None = None
    head: Seq | None = None
    tail: Seq | None = None
    max_bytes: Seq | None = None
    before: Seq | None = None
    owed: ContextLines = 0
    standing: Seq | None = None


class ReadLog(Message, tag="read_log"):
    """Asks for log lines from ``since`` on, at most ``limit``; answered by `LogPage`.

    ``select`` asks for a part of the lines only. A selection that takes long comes in several answers: `LogPage.rest`
    and `LogPage.next` are then the ``select`` and the ``since`` of the next request. ``run`` is the number of an
    earlier run (`ListRuns`), whose log is read; 0 is the present run.
    """

    ref: Ref
    job: JobId
    since: Count = 0
    limit: ranges.LogPage = limits.LOG_BATCH_LINES
    select: LogSelection | None = None
    run: Count = 0


class ListRuns(Message, tag="list_runs"):
    """Asks for the runs of a job that are remembered; answered by `RunList`."""

    ref: Ref
    job: JobId


class LogPage(Message, tag="log_page"):
    """The answer to `ReadLog`.

    Attributes:
        lines: The lines in order; where seqs jump, the lines between are in ``gaps`` or were not selected.
        next: The ``since`` of the next page.
        final: The job is finished and there are no lines after these.
        gaps: Lines in the range of this page that are no longer kept.
        rest: With `ReadLog.select`: the ``select`` of the next request, from ``next`` on; absent when nothing is left.
        cut: True when ``max_bytes`` left out some of the selected lines.
    """

    ref: Ref
    lines: list[LogLine]
    next: int
    final: bool = False
    gaps: list[Gap] = []
    rest: LogSelection | None = None
    cut: bool = False


class RunList(Message, tag="runs"):
    """The answer to `ListRuns`: the last runs of the job, oldest first. The one that has its verdict is `present`.

    The job remembers a bounded number of them for as long as it is kept itself, and their logs up to a bounded size.
    """

    ref: Ref
    runs: list[Run]


class JobSummary(Message, tag="job_summary"):
    """The answer to `Summarise`.

    Attributes:
        job: Its state; ``verdict`` tells how it ended, if it has.
        phase: The phase in which it failed, or its present phase; absent when it waits or has succeeded.
        step: The last step of the build, if it is in phase building or ended there: ``Step 2/5 : RUN make``.
        last: The last lines of its log.
        error: The first line that looks like an error, and the lines around it; empty for none, and when the job
            succeeded.
        error_seq: The seq of the line that looks like an error.
        lines: Number of lines that the run has written.
        missing: Number of these lines that are no longer kept.
        gaps: The ranges of these lines; the first hundred.
    """

    ref: Ref
    job: JobState
    phase: Phase | None = None
    step: str = ""
    last: list[LogLine] = []
    error: list[LogLine] = []
    error_seq: int | None = None
    lines: int = 0
    missing: int = 0
    gaps: list[Gap] = []
