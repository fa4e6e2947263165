"""Messages between clients and the hub; see `asman_shared.messages`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from . import limits, ranges
from .definition import Definition
from .ranges import Count, JobId, Label, Ref, Sha256
from .records import (
    BlobLink,
    BlobTicket,
    Counts,
    JobState,
    Limits,
    LogLine,
    Message,
    Need,
    Problem,
    RateLimit,
    Result,
    Resume,
    Verdict,
    WorkerState,
)
from .states import AnyReuse, Phase, State


class Hello(Message, tag="hello"):
    """A client's first message.

    ``follow`` selects the pushed changes: ``jobs`` (of jobs that this client submits or follows) or ``queue`` (all).
    ``resume`` asks for the changes after a position; `Welcome.recovered` tells whether that was possible.
    """

    protocol: ranges.Protocol = limits.PROTOCOL_VERSION
    agent: ranges.Agent = ""
    follow: Literal["jobs", "queue"] = "jobs"
    resume: Resume | None = None


class Callback(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A webhook to call, and the JSON that it gets as ``config``.

    Attributes:
        whole_queue: The receiver gets the queue's whole name, which is all rights to it, instead of the short one that
            stands in the hub's log; for https alone.
    """

    url: ranges.CallbackUrl
    payload: Any = None
    whole_queue: bool = False


class Callbacks(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The webhooks of a submission; see ``docs/webhooks.md``.

    Attributes:
        queued: Called when the submission begins a new run.
        finished: Called once, when the run that the submission waits for is over.
    """

    queued: Callback | None = None
    finished: Callback | None = None


class Submit(Message, tag="submit"):
    """Runs a job, joins its existing run, or gets its cached result; answered by `Accepted`.

    Attributes:
        id: Expected id of the definition; a different one is refused.
        namespace: The slot that holds the job; a newer job in the same slot (but ``_``) releases the older.
        reuse: The results that answer instead of a new run: ``success``, ``any`` (also of a run that exited with
            another code than 0), or ``never`` any. Whatever it is, the submission joins a run that is not finished.
            ``cached`` is an older word for ``any``.
        time_limit: Longest run time in milliseconds, besides the definition's own limit; left out for none.
        queue_limit: Longest time in the queue in milliseconds, after which the job ends as TimedOut; left out for none.
        phase_limits: Longest times of phases in milliseconds, besides the worker's own limits. A phase that is left out
            has none.
        max_attempts: Number of lost workers after which the job fails.
        follow: Whether the hub pushes the job's changes to this connection from now on.
        callbacks: Webhooks to call; they belong to the submission, not to the job's id.
    """

    ref: Ref
    definition: Definition
    id: JobId | None = None
    namespace: Label = "_"
    priority: ranges.Priority = 0
    reuse: AnyReuse = "success"
    time_limit: ranges.TimeLimit | None = None
    queue_limit: ranges.TimeLimit | None = None
    phase_limits: dict[Phase, ranges.TimeLimit] = {}
    max_attempts: ranges.Attempts = limits.MAX_ATTEMPTS
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
    states: Annotated[list[State], Meta(max_length=limits.STATES_PER_LIST)] = []
    before: Count | None = None
    limit: ranges.JobsPage = 100


class Workers(Message, tag="workers"):
    """Asks for the workers of the queue; answered by `WorkerPage`."""

    ref: Ref


class Follow(Message, tag="follow"):
    """Asks the hub to push a job's changes and, with ``logs``, its log from ``since`` on; answered by `Following`."""

    ref: Ref
    job: JobId
    logs: bool = False
    since: Count = 0


class Unfollow(Message, tag="unfollow"):
    """Ends what `Follow` or `Submit.follow` began; answered by `Following` with ``active`` false."""

    ref: Ref
    job: JobId


class Summarise(Message, tag="summarise"):
    """Asks for a summary of a running or finished job, in one page; answered by `JobSummary`."""

    ref: Ref
    job: JobId


class Explain(Message, tag="explain"):
    """Asks why a job is in its present state; answered by `Explanation`."""

    ref: Ref
    job: JobId


class Validate(Message, tag="validate"):
    """Asks what would happen if a definition were submitted, without submitting it; answered by `Validated`.

    ``definition`` may be any object; its faults are among the problems.
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


class Welcome(Message, tag="welcome"):
    """The hub's answer to `Hello`.

    Changes pushed on this connection follow (``epoch``, ``seq``). ``recovered`` is true when all changes since
    `Hello.resume` follow; otherwise ask with `List`. ``default_image`` is the image for definitions that name none; a
    client puts it into the definition, so that it is part of the job's id. ``links`` makes the addresses of the queue's
    jobs; see `asman_shared.address`. ``rights`` are those of the key in the address: ``read``, ``submit``, ``work`` and
    ``own``, which the queue's name alone grants. ``rates`` are the hub's limits on this client; none for one that it
    does not limit.
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
    links: str = ""
    rights: list[str] = []
    rates: list[RateLimit] = []


class Accepted(Message, tag="accepted"):
    """The answer to `Submit`, sent when the job is durable.

    Attributes:
        answer: ``queued`` (a new run), ``joined`` (an existing run) or ``cached`` (see ``job.verdict``, which with the
            reuse ``any`` may be a failure).
        able: Number of connected workers that could run it when they are free.
        why: The reason in a sentence, when none could, or when the queue is paused.
        job: The job as it is now.
        earlier: With the answer ``queued``: the end of the job's run before, if there was one.
    """

    ref: Ref
    answer: Literal["queued", "joined", "cached"]
    job: JobState
    able: int = 0
    why: str = ""
    earlier: Verdict | None = None


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
    """The answer to `Get`.

    ``partial`` is true when the key shows only a part of the definition: image, command and the names of environment
    variables.
    """

    ref: Ref
    job: JobState
    definition: Definition
    result: Result | None = None
    partial: bool = False


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


class Explanation(Message, tag="explanation"):
    """The answer to `Explain`.

    Attributes:
        sentence: For people: the reason to wait, the present work, or the end.
        able: Number of connected workers that could run it when they are free.
        workers: Number of connected workers that take jobs.
        position: For a waiting job: number of jobs before it in the order of the queue, whatever they need.
        beyond: True when there are more than ``position``, which were not counted.
        waiting_for: For a waiting job: the missing condition. Empty otherwise.
        phase: For a running job: its phase.
        worker: For a running job: the name of the worker that has it.
        verdict: For a finished job: its end.
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
        ok: True when it has no problems and no blob is missing, so that it can be submitted.
        problems: Its faults, one for each faulty field.
        missing_blobs: The sha256 of each named blob that the hub does not have.
        able: Number of connected workers that could run it when they are free.
        why: The reason in a sentence, when none could.
        known: The job's state on this queue, if the queue has it already.
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


class PhaseProgress(Message, tag="progress"):
    """Progress of the present phase of a job, such as the pull of its image: ``done`` of ``total`` in ``unit``.

    The hub pushes it to clients that follow that single job, a few times a second at most. Progress has no
    ``seq`` and is not kept, and a missed report is not sent again. The unit is ``bytes`` or the things counted, such as
    ``layers``.
    """

    job: str
    attempt: Count
    phase: Phase
    done: Count
    total: Count
    unit: str = ""


class WorkerChanged(Message, tag="worker_changed"):
    """A worker joined, changed or left; pushed to followers of the queue."""

    seq: int
    worker: WorkerState


class CountsChanged(Message, tag="counts"):
    """The queue's totals; pushed to followers of the queue, coalesced."""

    counts: Counts


class LogLines(Message, tag="log"):
    """Lines of a followed job, in order.

    All lines come before the `Changed` with the state Finished. Only a slow connection that follows the whole queue may
    get that state before the last lines: ``verdict.lines`` is their number. ``gap`` is the seq before which
    earlier lines are no longer kept.
    """

    job: str
    lines: list[LogLine]
    gap: int | None = None
