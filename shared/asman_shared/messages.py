"""The messages of the native protocol, version 1.

A frame is an array of messages; a message is a map with a ``type``. Unknown fields are ignored and unknown types are
answered with an error, so versions can differ. Times are integer epoch milliseconds, durations are milliseconds,
sizes are bytes. A request carries a ``ref`` chosen by its sender and gets exactly one answer with the same ``ref``:
its reply or an `Error`.

Opening, on both sockets: the dialler speaks first (`Hello` or `Register`), the hub answers (`Welcome` or
`Registered`), and nothing else travels before that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from . import limits
from .definition import DataRef, Definition
from .states import Fault, Phase, Reason, State

JobId = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Label = Annotated[str, Meta(min_length=1, max_length=limits.LABEL_LENGTH)]
Ref = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Millis = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]

STDOUT, STDERR, SYSTEM = 0, 1, 2
"""The streams of a log line; ``SYSTEM`` lines are written by the worker about the job."""


class Message(Struct, tag_field="type", omit_defaults=True):
    """Base of everything that travels on a socket."""


# --------------------------------------------------------------------------------------------------- what is said


class Summary(Struct, omit_defaults=True):
    """What a list shows of a job's definition."""

    image: str = ""
    build: str = ""
    command: str = ""
    tags: list[str] = []
    cpus: float = 1.0
    memory: int = 0
    gpus: int = 0


class Verdict(Struct, omit_defaults=True):
    """How a finished job ended, for programs.

    Attributes:
        ok: The container ran and exited 0.
        reason: Why the job is finished.
        exit_code: The container's, when it ran to its end.
        message: One sentence for people, when it did not end by itself.
        hint: What to do about it.
        fault: For reason ``Error``: whose.
        outputs: How many output files the result names.
        lines: How many log lines there are (the next line's seq).
        duration: Milliseconds from the attempt's start to its end.
    """

    ok: bool
    reason: Reason
    exit_code: int | None = None
    message: str = ""
    hint: str = ""
    fault: Fault | None = None
    outputs: int = 0
    lines: int = 0
    duration: int = 0


class JobState(Struct, omit_defaults=True):
    """Where a job is now; complete each time, so that the newest ``rev`` replaces all older ones.

    ``summary`` comes in lists and with the first change of a run, and is left out of the later changes. ``log_start`` is
    the seq of the run's first log line: seqs go on growing when a job is run again.
    """

    id: str
    rev: int
    state: State
    attempt: int = 0
    phase: Phase | None = None
    queued: int = 0
    started: int = 0
    finished: int = 0
    worker: str = ""
    namespaces: list[str] = []
    priority: int = 0
    log_start: int = 0
    verdict: Verdict | None = None
    summary: Summary | None = None


class OutputFile(Struct, omit_defaults=True):
    """One file from ``/outputs``.

    Attributes:
        ref: Where its bytes are (usually ``{type: key, value: sha256}``).
        size: Bytes.
        sha256: Of the bytes.
        media_type: Guessed from the name.
        mode: Permission bits.
    """

    ref: DataRef
    size: int
    sha256: str
    media_type: str = "application/octet-stream"
    mode: int = 0o644


class Result(Struct, omit_defaults=True):
    """All that is kept of a finished attempt, apart from its log."""

    outputs: dict[str, OutputFile] = {}
    skipped: dict[str, str] = {}
    phases: dict[Phase, int] = {}
    image_digest: str = ""
    worker: str = ""


class Outcome(Struct, omit_defaults=True):
    """How an attempt ended, as its worker saw it.

    Attributes:
        kind: ``exited`` (see ``exit_code``), ``error`` (could not be run), ``timed_out`` or ``out_of_memory``.
        exit_code: The container's.
        message: One sentence, for anything but ``exited``.
        fault: For ``error``: whose.
        lines: The seq after the last log line of the attempt.
        duration: Milliseconds of the attempt.
        result: Outputs and the rest.
    """

    kind: Literal["exited", "error", "timed_out", "out_of_memory"]
    exit_code: Annotated[int, Meta(ge=-(2**31), le=2**32 - 1)] | None = None
    message: str = ""
    fault: Fault = Fault.JOB
    lines: Count = 0
    duration: Millis = 0
    result: Result = field(default_factory=Result)


class LogLine(Struct, array_like=True):
    """One line: ``[seq, time, stream, text, phase]``.

    ``seq`` counts from 0 over all attempts and runs of a job; where it jumps, the lines between are no longer kept. ``stream`` is
    `STDOUT`, `STDERR` or `SYSTEM`. ``text`` has no line end; one that ended in a carriage return keeps it.
    """

    seq: Count
    time: Millis
    stream: Annotated[int, Meta(ge=STDOUT, le=SYSTEM)]
    text: str
    phase: Phase = Phase.RUNNING


class WorkerState(Struct, omit_defaults=True):
    """What is known of one worker process.

    ``id`` is a short random name of the process; ``state`` is ``ready``, ``draining``, ``away`` (its connection is
    lost and its grace runs) or ``gone``.
    """

    id: str
    rev: int
    state: Literal["ready", "draining", "away", "gone"]
    name: str = ""
    agent: str = ""
    cpus: float = 0
    memory: int = 0
    gpus: int = 0
    tags: list[str] = []
    platform: str = ""
    max_duration: int = 0
    executor: str = ""
    jobs: int = 0
    used_cpus: float = 0
    used_memory: int = 0
    used_gpus: int = 0
    since: int = 0


class Counts(Struct, omit_defaults=True):
    """How many jobs of a queue are in each state, and how many workers are connected."""

    queued: int = 0
    running: int = 0
    finished: int = 0
    workers: int = 0


class Resume(Struct):
    """The last change that a client has seen."""

    epoch: str
    seq: int


class Limits(Struct):
    """The bounds that the hub holds this connection to."""

    frame: int = limits.FRAME_BYTES
    inline: int = limits.INLINE_BYTES
    definition: int = limits.DEFINITION_BYTES
    page: int = limits.LIST_PAGE


Need = Literal["", "cpus", "memory", "gpus", "tags", "platform", "duration", "worker", "capacity", "turn"]
"""What a job waits for: something no worker has, any ``worker``, free ``capacity``, or its ``turn``."""


class Problem(Struct):
    """One thing that is wrong with a definition: where (``definition.requirements.memory``), and what."""

    field: str
    message: str


class BlobTicket(Struct, omit_defaults=True):
    """How to store one blob, or the news that it is there.

    ``url`` is relative to the hub's address unless it is absolute; send the bytes there with ``method`` and
    ``headers`` before ``expires``.
    """

    sha256: str
    exists: bool = False
    url: str = ""
    method: str = "PUT"
    headers: dict[str, str] = {}
    expires: int = 0


class BlobLink(Struct, omit_defaults=True):
    """Where to read one blob; an empty ``url`` says that it is not stored here."""

    sha256: str
    url: str = ""
    size: int = 0
    expires: int = 0


# ---------------------------------------------------------------------------------------------- both directions


class Ping(Message, tag="ping"):
    """Are you there? Answered by `Pong` with the same ``ref``."""

    ref: Ref = 0


class Pong(Message, tag="pong"):
    """Yes."""

    ref: Ref = 0


class Error(Message, tag="error"):
    """The answer to a request that failed, or (without ``ref``) news of a broken message.

    Codes are those of `asman_shared.errors`; ``field`` is the path of what is wrong; ``retry`` says that the same
    request may succeed later.
    """

    code: str
    message: str
    ref: Ref | None = None
    field: str | None = None
    retry: bool = False


# ------------------------------------------------------------------------------------------------ client to hub


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
    """Which webhooks a submission wants called; see ``docs/webhooks.md``.

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
        max_attempts: Lost workers after which the job is given up.
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

    ``before`` is the ``next`` of the page before; ``states`` limits to some states.
    """

    ref: Ref
    states: list[State] = []
    before: int | None = None
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
    """Asks for log lines from ``since`` on; answered by `LogPage`."""

    ref: Ref
    job: JobId
    since: Count = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = limits.LOG_BATCH_LINES


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


class PutBlobs(Message, tag="put_blobs"):
    """Asks which of these blobs are missing and how to send them; answered by `BlobTickets`."""

    ref: Ref
    blobs: Annotated[list[tuple[Sha256, Count]], Meta(max_length=limits.BLOBS_PER_REQUEST)]


class GetBlobs(Message, tag="get_blobs"):
    """Asks where these blobs can be read; answered by `BlobLinks`."""

    ref: Ref
    keys: Annotated[list[Sha256], Meta(max_length=limits.BLOBS_PER_REQUEST)]


# ------------------------------------------------------------------------------------------------ hub to client


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
        lines: In order; where seqs jump, the lines between were trimmed.
        next: The ``since`` of the next page.
        final: The job is finished and there are no lines after these.
    """

    ref: Ref
    lines: list[LogLine]
    next: int
    final: bool = False


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


# ------------------------------------------------------------------------------------------------ worker to hub


class Held(Struct, omit_defaults=True):
    """An attempt that a worker has: running, or finished and not acknowledged (``done``)."""

    job: JobId
    attempt: Count
    phase: Phase = Phase.ASSIGNED
    done: bool = False


class Register(Message, tag="register"):
    """A worker's first message, on every connection.

    Attributes:
        incarnation: Random and made once per worker process (or per data folder, when it can re-attach to its
            containers after a restart); never a host name.
        cpus: How many it gives to jobs; so ``memory`` in bytes and ``gpus``.
        max_duration: The longest job it takes, in milliseconds; 0 for any.
        holding: Every attempt it has. The hub answers which to keep and which to abort.
    """

    incarnation: Annotated[str, Meta(min_length=16, max_length=64)]
    name: Label
    cpus: Annotated[float, Meta(gt=0, le=100_000)]
    protocol: int = limits.PROTOCOL_VERSION
    agent: Annotated[str, Meta(max_length=200)] = ""
    memory: Count = 0
    gpus: Annotated[int, Meta(ge=0, le=10_000)] = 0
    disk: Count = 0
    tags: Annotated[list[Label], Meta(max_length=limits.TAGS)] = []
    platform: Annotated[str, Meta(max_length=64)] = ""
    max_duration: Millis = 0
    executor: Annotated[str, Meta(max_length=64)] = "docker"
    draining: bool = False
    holding: Annotated[list[Held], Meta(max_length=100_000)] = []


class PhaseReport(Message, tag="phase"):
    """An attempt reached a phase, or got on in it (``done`` of ``total`` in ``unit``)."""

    job: JobId
    attempt: Count
    phase: Phase
    done: Count = 0
    total: Count = 0
    unit: Annotated[str, Meta(max_length=16)] = ""


class LogBatch(Message, tag="log_batch"):
    """New lines of an attempt, in order; seqs continue from `Assign.log_next` or `Kept.log_next`."""

    job: JobId
    attempt: Count
    lines: Annotated[list[LogLine], Meta(max_length=limits.LOG_BATCH_LINES)]


class Finished(Message, tag="finished"):
    """An attempt ended. Said again after every reconnect until `Acknowledged`."""

    job: JobId
    attempt: Count
    outcome: Outcome


class Released(Message, tag="released"):
    """Nothing of this attempt is left on the worker: the answer to `Abort`; its capacity is free again."""

    job: JobId
    attempt: Count


class Drain(Message, tag="drain"):
    """The worker takes no more jobs and leaves when it is done."""


# ------------------------------------------------------------------------------------------------ hub to worker


class Kept(Struct, omit_defaults=True):
    """An attempt that goes on; log lines from ``log_next`` on are wanted."""

    job: str
    attempt: int
    log_next: int = 0


class Registered(Message, tag="registered"):
    """The hub's answer to `Register`: which attempts go on, and which to stop and forget.

    Every attempt in `Register.holding` is in exactly one of ``keep`` and ``abort``.
    """

    protocol: int
    hub: str
    worker: str
    time: int
    heartbeat: int = limits.HEARTBEAT_MS
    limits: Limits = field(default_factory=Limits)
    keep: list[Kept] = []
    abort: list[Held] = []


class Assign(Message, tag="assign"):
    """Run this.

    ``time_limit`` bounds phase running in milliseconds (0: the worker's own maximum); ``log_next`` is the seq of its
    first log line.
    """

    job: str
    attempt: int
    definition: Definition
    time_limit: int = 0
    log_next: int = 0


class Abort(Message, tag="abort"):
    """Stop this attempt and forget it; answered by `Released`. ``why`` is for the worker's log."""

    job: str
    attempt: int
    why: str = ""


class Acknowledged(Message, tag="acknowledged"):
    """A `Finished` is durable (or, ``accepted`` false, came too late): forget the attempt."""

    job: str
    attempt: int
    accepted: bool = True


ClientMessage = (
    Hello
    | Submit
    | Cancel
    | Delete
    | Get
    | List
    | Workers
    | Follow
    | Unfollow
    | ReadLog
    | Explain
    | Validate
    | PutBlobs
    | GetBlobs
    | Ping
    | Pong
)
HubToClient = (
    Welcome
    | Accepted
    | Cancelled
    | Deleted
    | Job
    | JobPage
    | WorkerPage
    | Following
    | LogPage
    | Explanation
    | Validated
    | BlobTickets
    | BlobLinks
    | Changed
    | WorkerChanged
    | CountsChanged
    | LogLines
    | Error
    | Ping
    | Pong
)
WorkerMessage = Register | PhaseReport | LogBatch | Finished | Released | Drain | PutBlobs | GetBlobs | Ping | Pong
HubToWorker = Registered | Assign | Abort | Acknowledged | BlobTickets | BlobLinks | Error | Ping | Pong
