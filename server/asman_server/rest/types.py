"""What REST takes and gives, as types: requests are read by them and the OpenAPI document is made from them.

They are the messages of the websocket without what only a socket needs. Members that have their default value are
left out of answers. Times are epoch milliseconds, durations milliseconds, sizes bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.messages import (
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
    Stream,
    Verdict,
    WorkerState,
)
from asman_shared.states import Phase, State


class Problems(Struct, omit_defaults=True):
    """Every answer that is an error: a sentence, a code, the field at fault, and whether trying again may help."""

    error: str
    code: str
    field: str = ""
    retry: bool = False


class SubmitBody(Struct, forbid_unknown_fields=True):
    """A job to submit.

    Attributes:
        definition: What is run; the hub's default image is put in when it names none and no ``id`` is given.
        id: Checked against the definition's id when given.
        namespace: The slot that holds the job; a newer job in the same slot (but ``_``) releases the older.
        priority: Higher runs first.
        reuse: ``never`` forces a new run although a cached result exists.
        time_limit: How long it may run, besides what the definition says: ``"20m"``, or milliseconds.
        queue_limit: How long it may wait before it is given up as TimedOut: likewise.
        phase_limits: How long its phases may take, besides what the worker allows: likewise.
        max_attempts: Lost workers after which it is given up.
        callbacks: Webhooks to call.
    """

    definition: Definition
    id: JobId | None = None
    namespace: Label = "_"
    priority: Annotated[int, Meta(ge=-limits.PRIORITY, le=limits.PRIORITY)] = 0
    reuse: Literal["cached", "never"] = "cached"
    time_limit: Millis | str = 0
    queue_limit: Millis | str = 0
    phase_limits: dict[Phase, Millis | str] = {}
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = limits.MAX_ATTEMPTS
    callbacks: Callbacks | None = None


class SubmitAnswer(Struct, omit_defaults=True):
    """What submitting did.

    Attributes:
        answer: ``queued`` (a new run), ``joined`` (a run that exists) or ``cached`` (there is a result).
        job: The job as it is now; its ``verdict`` says how it ended, if it has.
        able: How many connected workers could run it when they are free.
        why: When none could: why, in a sentence.
        result: What it made, when it is finished.
    """

    answer: Literal["queued", "joined", "cached"]
    job: JobState
    able: int = 0
    why: str = ""
    result: Result | None = None


class JobAnswer(Struct, omit_defaults=True):
    """A job with its definition, and its result when it is finished."""

    job: JobState
    definition: Definition
    result: Result | None = None


class Totals(Struct):
    """How many jobs of a queue are in each state, and how many workers are connected."""

    queued: int
    running: int
    finished: int
    workers: int


class JobsAnswer(Struct, omit_defaults=True):
    """A page of jobs, newest first; ``next`` is the ``before`` of the next page, absent on the last."""

    jobs: list[JobState]
    counts: Totals
    next: int | None = None


class WaitAnswer(Struct, omit_defaults=True):
    """Where a job is; with its verdict and its result when it is finished."""

    job: JobState
    verdict: Verdict | None = None
    result: Result | None = None


class LineAnswer(Struct):
    """One line of a log; ``seq`` counts from 0 over all attempts and runs of the job."""

    seq: int
    time: int
    stream: Stream
    text: str
    phase: Phase


class LogAnswer(Struct, omit_defaults=True):
    """A page of a log.

    Attributes:
        lines: In order.
        next: The ``since`` of the next page.
        final: The job is finished and there are no lines after these.
        gaps: What is no longer kept of the range that this page covers.
        more: When a part of the log was asked for and this is not all of it: the query that asks for the rest.
        cut: ``max_bytes`` left out some of what was asked for.
    """

    lines: list[LineAnswer]
    next: int
    final: bool = False
    gaps: list[Gap] = []
    more: str = ""
    cut: bool = False


class SummaryAnswer(Struct, omit_defaults=True):
    """How a job went or goes; the members are those of the message ``job_summary``."""

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
    """Why a job is where it is; the members are those of the message ``explanation``."""

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
    """A definition to check; it may have any faults."""

    definition: dict[str, Any]


class ValidateAnswer(Struct, omit_defaults=True):
    """What submitting a definition would meet; the members are those of the message ``validated``."""

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
    """How long a queue is to keep its finished jobs: ``"30d"``, milliseconds, or 0 for as long as the hub does."""

    retention: Millis | str


class SettingsAnswer(Struct):
    """How long a queue keeps its finished jobs, in milliseconds, and whether by its ``own`` word or the hub's."""

    retention: int
    own: bool


class WebhookKey(Struct):
    """What the signatures of a queue's webhooks are checked with."""

    key: str


class WebhookKeyAnswer(Struct):
    """What the signatures of a queue's webhooks are checked with."""

    data: WebhookKey


class BlobAnswer(Struct):
    """The name of a blob that was stored."""

    sha256: str


class FileAnswer(Struct):
    """What was stored under a name."""

    name: str
    sha256: str


class FileExistsAnswer(Struct):
    """Whether something is stored under a name."""

    exists: bool


def line_answer(line: LogLine) -> LineAnswer:
    """A line as REST gives it."""
    stream = STREAMS[line.stream if 0 <= line.stream <= SYSTEM else SYSTEM]
    return LineAnswer(line.seq, line.time, stream, line.text, line.phase)
