"""Messages between clients and the hub; see `asman_shared.messages`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from . import limits
from .definition import Definition
from .log_records import Gap, LogSelection
from .records import (
    BlobLink,
    BlobTicket,
    Count,
    Counts,
    JobId,
    JobState,
    Label,
    Limits,
    LogLine,
    Message,
    Millis,
    Need,
    Problem,
    Ref,
    Result,
    Resume,
    Sha256,
    Verdict,
    WorkerState,
)
from .states import Phase, State


class Hello(Message, tag="hello"):
    """A client's first message.

    ``follow`` says what is pushed: ``jobs`` (only what this client submits or follows) or ``queue`` (every change).
    ``resume`` asks for what was missed since; `Welcome.recovered` says whether that was possible.
    """

    protocol: int = limits.PROTOCOL_VERSION
    agent: Annotated[str, Meta(max_length=200)] = ""
    follow: Literal["jobs", "queue"] = "jobs"
    resume: Resume | None = None


class Callback(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A webhook to be called, and what it is given as ``config``: any JSON."""

    url: str
    payload: Any = None


class Callbacks(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Webhooks that a submission wants called; see ``docs/webhooks.md``.

    Attributes:
        queued: When the submission begins a new run.
        finished: Once, when the run that the submission waits for is over.
    """

    queued: Callback | None = None
    finished: Callback | None = None


class Submit(Message, tag="submit"):
    """Runs a job, joins the run that exists, or answers with its cached result; answered by `Accepted`.

    Attributes:
        id: Checked against the definition's id when given.
        namespace: The slot that holds the job; a newer job in the same slot (but ``_``) releases the older.
        reuse: ``never`` forces a new run although a cached result exists.
        time_limit: Milliseconds the container may run, besides what the definition says.
        queue_limit: Milliseconds the job may wait before it is given up as TimedOut.
        phase_limits: Milliseconds that phases may take, besides what the worker allows.
        max_attempts: Number of lost workers after which the job fails.
        follow: Whether this connection is pushed the job's changes from now on.
        callbacks: Webhooks to call; they belong to the submission, not to the job's id.
    """

    ref: Ref
    definition: Definition
    id: JobId | None = None
    namespace: Label = "_"
    priority: Annotated[int, Meta(ge=-limits.PRIORITY, le=limits.PRIORITY)] = 0
    reuse: Literal["cached", "never"] = "cached"
    time_limit: Millis = 0
    queue_limit: Millis = 0
    phase_limits: dict[Phase, Millis] = {}
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = limits.MAX_ATTEMPTS
    follow: bool = True
    callbacks: Callbacks | None = None


class Cancel(Message, tag="cancel"):
    """Releases a job from one namespace (``*``: from all); answered by `Cancelled`."""

    ref: Ref
    job: JobId
    namespace: Label = "_"


class Delete(Message, tag="delete"):
    """Stops the job if it runs and forgets it and its result; answered by `Deleted`."""

    ref: Ref
    job: JobId


class Get(Message, tag="get"):
    """Asks for one job with its definition and result; answered by `Job`."""

    ref: Ref
    job: JobId


class List(Message, tag="list"):
    """Asks for a page of jobs, newest first; answered by `JobPage`.

    ``before`` is the ``next`` of the previous page; ``states`` limits to some states.
    """

    ref: Ref
    states: list[State] = []
    before: Count | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.LIST_PAGE)] = 100


class Workers(Message, tag="workers"):
    """Asks for the workers of the queue; answered by `WorkerPage`."""

    ref: Ref


class Follow(Message, tag="follow"):
    """Asks to be pushed a job's changes, and its log from line ``since`` when ``logs``; answered by `Following`."""

    ref: Ref
    job: JobId
    logs: bool = False
    since: Count = 0


class Unfollow(Message, tag="unfollow"):
    """Ends what `Follow` or `Submit.follow` began; answered by `Following` with ``active`` false."""

    ref: Ref
    job: JobId


class ReadLog(Message, tag="read_log"):
    """Asks for log lines from ``since`` on, at most ``limit``; answered by `LogPage`.

    ``select`` asks for a part of them only. One that takes long to find comes in several answers: `LogPage.rest` and
    `LogPage.next` are then the ``select`` and the ``since`` of the next request.
    """

    ref: Ref
    job: JobId
    since: Count = 0
    limit: Annotated[int, Meta(ge=1, le=limits.LOG_PAGE_LINES)] = limits.LOG_BATCH_LINES
    select: LogSelection | None = None


class Summarise(Message, tag="summarise"):
    """Asks how a job went or goes, in one page; answered by `JobSummary`."""

    ref: Ref
    job: JobId


class Explain(Message, tag="explain"):
    """Asks why a job is where it is; answered by `Explanation`."""

    ref: Ref
    job: JobId


class Validate(Message, tag="validate"):
    """Asks what submitting a definition would meet, without doing it; answered by `Validated`.

    ``definition`` may be any object: what keeps it from being a definition is among the problems.
    """

    ref: Ref
    definition: dict[str, Any]


class Configure(Message, tag="configure"):
    """Says how long the queue keeps finished jobs (ms; 0: as long as the hub does), or with None only asks.

    Answered by `Configured`. Jobs that are finished already are kept by the new word too.
    """

    ref: Ref
    retention: Millis | None = None


class PutBlobs(Message, tag="put_blobs"):
    """Asks which of these blobs are missing and how to send them; answered by `BlobTickets`."""

    ref: Ref
    blobs: Annotated[list[tuple[Sha256, Count]], Meta(max_length=limits.BLOBS_PER_REQUEST)]


class GetBlobs(Message, tag="get_blobs"):
    """Asks where these blobs can be read; answered by `BlobLinks`."""

    ref: Ref
    keys: Annotated[list[Sha256], Meta(max_length=limits.BLOBS_PER_REQUEST)]


class Welcome(Message, tag="welcome"):
    """The hub's answer to `Hello`.

    Changes pushed on this connection follow (``epoch``, ``seq``). ``recovered`` is true when everything missed
    since `Hello.resume` follows; otherwise ask with `List` for what is of interest. ``default_image`` is what a person
    who names no image probably means; a client puts it into the definition, so that it is part of the job's id.
    """

    protocol: int
    hub: str
    epoch: str
    seq: int
    time: int
    heartbeat: int = limits.HEARTBEAT_MS
    recovered: bool = False
    default_image: str = ""
    limits: Limits = field(default_factory=Limits)
    counts: Counts = field(default_factory=Counts)


class Accepted(Message, tag="accepted"):
    """The answer to `Submit`, sent when the job is durable.

    Attributes:
        answer: ``queued`` (a new run), ``joined`` (a run that exists) or ``cached`` (see ``job.verdict``).
        able: How many connected workers could run it when they are free.
        why: When none could: why, in a sentence.
        job: The job as it is now.
    """

    ref: Ref
    answer: Literal["queued", "joined", "cached"]
    job: JobState
    able: int = 0
    why: str = ""


class Cancelled(Message, tag="cancelled"):
    """The answer to `Cancel`: the job as it is now; ``released`` is false when there was nothing to release."""

    ref: Ref
    released: bool
    job: JobState


class Deleted(Message, tag="deleted"):
    """The answer to `Delete`."""

    ref: Ref
    job: str


class Job(Message, tag="job"):
    """The answer to `Get`."""

    ref: Ref
    job: JobState
    definition: Definition
    result: Result | None = None


class JobPage(Message, tag="jobs"):
    """The answer to `List`: newest first; ``next`` goes into the next `List.before`, absent on the last page."""

    ref: Ref
    jobs: list[JobState]
    next: int | None = None
    counts: Counts = field(default_factory=Counts)


class WorkerPage(Message, tag="worker_list"):
    """The answer to `Workers`."""

    ref: Ref
    workers: list[WorkerState]


class Following(Message, tag="following"):
    """The answer to `Follow` and `Unfollow`."""

    ref: Ref
    active: bool
    job: JobState | None = None


class LogPage(Message, tag="log_page"):
    """The answer to `ReadLog`.

    Attributes:
        lines: In order; where seqs jump, the lines between are in ``gaps`` or were not asked for.
        next: The ``since`` of the next page.
        final: The job is finished and there are no lines after these.
        gaps: What is no longer kept of the range that this page covers.
        rest: With `ReadLog.select`: what to ask for next, from ``next`` on; absent when this was all of it.
        cut: ``max_bytes`` left out some of what was asked for.
    """

    ref: Ref
    lines: list[LogLine]
    next: int
    final: bool = False
    gaps: list[Gap] = []
    rest: LogSelection | None = None
    cut: bool = False


class JobSummary(Message, tag="job_summary"):
    """The answer to `Summarise`.

    Attributes:
        job: Where it is; ``verdict`` says how it ended, if it has.
        phase: What it was doing when it went wrong, or does now; absent when it waits or has succeeded.
        step: The step of the build that was last begun, when it is or ended building: ``Step 2/5 : RUN make``.
        last: The last lines of its log.
        error: The first line that looks like an error and those around it; empty for none. Not looked for when the
            job succeeded.
        error_seq: Which of these it is.
        lines: How many lines the run has written.
        missing: How many of them are no longer kept.
        gaps: Which; the first hundred gaps.
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


class Explanation(Message, tag="explanation"):
    """The answer to `Explain`.

    Attributes:
        sentence: For people: what it waits for, what is being done, or how it ended.
        able: How many connected workers could run it when they are free.
        workers: How many workers are connected and take jobs.
        position: For a waiting job: how many are before it in the order of the queue, whatever they need.
        beyond: More than ``position`` are; nobody counted on.
        waiting_for: For a waiting job: what is missing. Empty otherwise.
        phase: For a running job: what is being done.
        worker: For a running job: the name of the worker that has it.
        verdict: For a finished job: how it ended.
    """

    ref: Ref
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


class Validated(Message, tag="validated"):
    """The answer to `Validate`.

    Attributes:
        id: The job's id; empty when the definition has problems.
        ok: It has no problems and no blob is missing: it can be submitted.
        problems: What is wrong with it, one for each field at fault.
        missing_blobs: The sha256 of each blob that it names and the hub does not have.
        able: How many connected workers could run it when they are free.
        why: When none could: why, in a sentence.
        known: Where the job is on this queue, if it is there already.
    """

    ref: Ref
    id: str
    ok: bool
    problems: list[Problem] = []
    missing_blobs: list[str] = []
    able: int = 0
    why: str = ""
    known: State | None = None


class Configured(Message, tag="configured"):
    """The answer to `Configure`: how long the queue keeps finished jobs (ms), and whether by its ``own`` word."""

    ref: Ref
    retention: int
    own: bool = False


class BlobTickets(Message, tag="blob_tickets"):
    """The answer to `PutBlobs`, in the order asked."""

    ref: Ref
    tickets: list[BlobTicket]


class BlobLinks(Message, tag="blob_links"):
    """The answer to `GetBlobs`, in the order asked."""

    ref: Ref
    links: list[BlobLink]


class Changed(Message, tag="changed"):
    """A job changed; pushed after the change is durable.

    ``seq`` grows by one per change of the queue; a connection that follows only some jobs, or that read slowly, sees
    it jump.
    """

    seq: int
    job: JobState


class PhaseProgress(Message, tag="progress"):
    """Progress of the present phase of a job, such as the pull of its image: ``done`` of ``total`` in ``unit``.

    The hub pushes it to clients that follow that single job, a few times a second at most. It is no state: it has no
    ``seq``, is not kept, and a missed one is not sent again. The unit is ``bytes`` or the things counted, such as
    ``layers``.
    """

    job: str
    attempt: Count
    phase: Phase
    done: Count
    total: Count
    unit: str = ""


class WorkerChanged(Message, tag="worker_changed"):
    """A worker came, changed or went; pushed to followers of the queue."""

    seq: int
    worker: WorkerState


class CountsChanged(Message, tag="counts"):
    """The queue's totals; pushed to followers of the queue, coalesced."""

    counts: Counts


class LogLines(Message, tag="log"):
    """Lines of a followed job, in order.

    All of them come before the `Changed` that says Finished. Only a connection that follows the whole queue may, when
    it reads slowly, be told that a job is finished while its last lines are on their way: ``verdict.lines`` says how
    many there are. ``gap`` is the seq up to which lines before these are no longer kept.
    """

    job: str
    lines: list[LogLine]
    gap: int | None = None
