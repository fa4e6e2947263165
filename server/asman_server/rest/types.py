"""Types of REST's request bodies and answers, which also make up the schemas of the OpenAPI document.

The types are the websocket's messages without the members that only a socket needs. Members that have their default
value are omitted from answers. Times are epoch milliseconds, durations milliseconds, sizes bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from asman_shared import limits, ranges
from asman_shared.definition import Definition
from asman_shared.messages import (
    LINE_ENDS,
    STREAMS,
    SYSTEM,
    Callbacks,
    Gap,
    JobId,
    JobState,
    Label,
    LogLine,
    Millis,
    Need,
    Problem,
    Result,
    Run,
    Stream,
    Verdict,
    WorkerState,
)
from asman_shared.states import AnyReuse, Phase, Reason, State


class Problems(Struct, omit_defaults=True):
    """The body of every error: a sentence, a code, the field at fault, and whether trying again may help.

    Attributes:
        retry_after: Time after which trying again may help, in milliseconds, where it is known.
    """

    error: str
    code: str
    field: str = ""
    retry: bool = False
    retry_after: int | None = None


class SubmitBody(Struct, forbid_unknown_fields=True):
    """A job to submit.

    Attributes:
        definition: The job's definition; the hub fills in its default image if it names none and no ``id`` is given.
        id: The expected id of the definition; a different one is refused.
        namespace: The slot that holds the job; a newer job in the same slot (but ``_``) releases the older.
        priority: The job's priority; a higher one runs first.
        reuse: The results that answer instead of a new run: ``success``, ``any`` (also of a run that exited with
            another code than 0), or ``never`` any. ``cached`` is an older word for ``any``.
        time_limit: Longest time to run, besides the definition's own limit: ``"20m"``, or milliseconds; left out for
            none.
        queue_limit: Longest time to wait before the job ends as TimedOut: ``"20m"``, or milliseconds; left out for
            none.
        phase_limits: Longest times of phases, besides the worker's own limits: ``"20m"``, or milliseconds. A phase
            that is left out has none.
        max_attempts: Number of lost workers after which the job is given up.
        callbacks: Webhooks to call.
    """

    definition: Definition
    id: JobId | None = None
    namespace: Label = "_"
    priority: ranges.Priority = 0
    reuse: AnyReuse = "success"
    time_limit: ranges.TimeLimit | ranges.LimitText | None = None
    queue_limit: ranges.TimeLimit | ranges.LimitText | None = None
    phase_limits: dict[Phase, ranges.TimeLimit | ranges.LimitText] = {}
    max_attempts: ranges.Attempts = limits.MAX_ATTEMPTS
    callbacks: Callbacks | None = None


class SubmitAnswer(Struct, omit_defaults=True):
    """The outcome of a submission.

    Attributes:
        answer: ``queued`` (a new run), ``joined`` (a run that exists) or ``cached`` (there is a result, which with the
            reuse ``any`` may be a failure: see the job's ``verdict``).
        job: The job's present state; its ``verdict`` tells how it ended, if it has.
        able: Number of connected workers that could run the job when they are free.
        why: The reason, in a sentence, when no connected worker could run the job.
        result: The job's result, when it is finished.
        link: Path on this hub that shows the job to whoever has it, without the queue's name.
        earlier: With the answer ``queued``: the end of the job's run before, if there was one.
    """

    answer: Literal["queued", "joined", "cached"]
    job: JobState
    able: int = 0
    why: str = ""
    result: Result | None = None
    link: str = ""
    earlier: Verdict | None = None


class RunsAnswer(Struct):
    """The runs of a job that are remembered, oldest first; the one that has its verdict is `present`."""

    runs: list[Run]


class JobAnswer(Struct, omit_defaults=True):
    """A job with its definition, its result when it is finished, and its path for readers without the queue's name.

    ``partial`` is true when the key shows only a part of the definition.
    """

    job: JobState
    definition: Definition
    result: Result | None = None
    link: str = ""
    partial: bool = False


class Totals(Struct):
    """Number of a queue's jobs in each state, and of its connected workers."""

    queued: int
    running: int
    finished: int
    workers: int


class JobsAnswer(Struct, omit_defaults=True):
    """A page of jobs, newest first; ``next`` is the ``before`` of the next page, absent on the last page."""

    jobs: list[JobState]
    counts: Totals
    next: int | None = None


class WaitAnswer(Struct, omit_defaults=True):
    """A job's state, with its verdict and its result when it is finished."""

    job: JobState
    verdict: Verdict | None = None
    result: Result | None = None


class LineAnswer(Struct, omit_defaults=True):
    """One line of a log; ``seq`` counts from 0 over all attempts and runs of the job.

    ``end`` is the line end that the text had, empty if the stream's next line goes on where this one stops; left out
    for a line feed.
    """

    seq: int
    time: int
    stream: Stream
    text: str
    phase: Phase
    end: str = "\n"


class LogAnswer(Struct, omit_defaults=True):
    """A page of a log.

    Attributes:
        lines: The lines, in order.
        next: The ``since`` of the next page.
        final: The job is finished and there are no lines after these.
        gaps: The lines in the range of this page that are no longer kept.
        more: The query for the rest, when the page is not the whole of the selected lines.
        cut: True when ``max_bytes`` left out some of the selected lines.
    """

    lines: list[LineAnswer]
    next: int
    final: bool = False
    gaps: list[Gap] = []
    more: str = ""
    cut: bool = False


class SummaryAnswer(Struct, omit_defaults=True):
    """A summary of a running or finished job; the members are those of the message ``job_summary``."""

    job: JobState
    phase: Phase | None = None
    step: str = ""
    last: list[LineAnswer] = []
    error: list[LineAnswer] = []
    error_seq: int | None = None
    lines: int = 0
    missing: int = 0
    gaps: list[Gap] = []


class CancelAnswer(Struct, omit_defaults=True):
    """The job after a cancel; ``released`` is false when there was nothing to release."""

    released: bool
    job: JobState


class DeleteAnswer(Struct):
    """The id of the job that was deleted."""

    job: str


class ExplainAnswer(Struct, omit_defaults=True):
    """The reason for a job's state; the members are those of the message ``explanation``."""

    job: str
    state: State
    sentence: str
    able: int = 0
    workers: int = 0
    position: int | None = None
    beyond: bool = False
    waiting_for: Need = ""
    phase: Phase | None = None
    worker: str = ""
    verdict: Verdict | None = None


class ValidateBody(Struct, forbid_unknown_fields=True):
    """A definition to check, which may have any faults."""

    definition: dict[str, Any]


class ValidateAnswer(Struct, omit_defaults=True):
    """The expected outcome of submitting a definition; the members are those of the message ``validated``."""

    id: str
    ok: bool
    problems: list[Problem] = []
    missing_blobs: list[str] = []
    able: int = 0
    why: str = ""
    known: State | None = None


class WorkersAnswer(Struct):
    """The workers of a queue."""

    workers: list[WorkerState]


class SettingsBody(Struct, forbid_unknown_fields=True):
    """The settings of a queue; what is left out stays as it is.

    Attributes:
        retention: The time to keep finished jobs: ``"30d"``, milliseconds, or 0 for the hub's own setting.
        paused: Whether the queue gives no jobs to workers. It takes submissions, and what runs goes on.
    """

    retention: Millis | ranges.LimitText | None = None
    paused: bool | None = None


class SettingsAnswer(Struct):
    """The settings of a queue.

    Attributes:
        retention: The time for which it keeps its finished jobs, in milliseconds.
        own: Whether that is the queue's setting, and not the hub's.
        paused: The time since which it gives no jobs to workers, in epoch milliseconds; 0 when it does.
    """

    retention: int
    own: bool
    paused: int = 0


class PurgeBody(Struct, forbid_unknown_fields=True):
    """The jobs to remove. Jobs that run, or that are kept, stay.

    Attributes:
        states: ``Queued``, ``Finished`` or both.
        reasons: Only finished jobs that ended for one of these reasons; empty for any.
        older_than: Only jobs that were queued or finished that long ago: ``"7d"``, or milliseconds.
    """

    states: Annotated[list[State], Meta(min_length=1, max_length=limits.STATES_PER_LIST)] = field(
        default_factory=lambda: [State.FINISHED]
    )
    reasons: Annotated[list[Reason], Meta(max_length=limits.STATES_PER_LIST)] = []
    older_than: Millis | ranges.LimitText = 0


class DeleteQueueAnswer(Struct):
    """The number of jobs that are gone, and of workers that were connected."""

    jobs: int
    workers: int


class PurgeAnswer(Struct):
    """The number of jobs that were removed. With ``more`` there are others: ask again."""

    count: int
    more: bool


class KeepAnswer(Struct):
    """The job, which is kept beyond its retention, or no longer."""

    job: JobState


class WebhookKey(Struct):
    """The key that verifies the signatures of a queue's webhooks."""

    key: str


class WebhookKeyAnswer(Struct):
    """The answer with the key that verifies the signatures of a queue's webhooks."""

    data: WebhookKey


class BlobAnswer(Struct):
    """The name of a blob that was stored."""

    sha256: str


class FileAnswer(Struct):
    """A stored name, and the sha256 of its content."""

    name: str
    sha256: str


class FileExistsAnswer(Struct):
    """Tells whether something is stored under a name."""

    exists: bool


def line_answer(line: LogLine) -> LineAnswer:
    """Returns a log line in REST's form."""
    stream = STREAMS[line.stream if 0 <= line.stream <= SYSTEM else SYSTEM]
    return LineAnswer(line.seq, line.time, stream, line.text, line.phase, LINE_ENDS[line.end])
