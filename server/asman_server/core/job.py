"""One job in the queue: everything the hub knows of it but its definition, its log and its result."""

from __future__ import annotations

from msgspec import Struct

from asman_shared.definition import Shape
from asman_shared.messages import Summary, Verdict
from asman_shared.states import Phase, State

from .callbacks import Hook

RECORD_VERSION = 1
"""The version written with each stored job."""


class Job(Struct, gc=False, omit_defaults=True):
    """A job, kept in memory while it is not finished and stored as this same record.

    Attributes:
        id: Hash of the definition.
        number: Its place in the order of queueing; grows with every new run in the queue.
        rev: Grows with every change.
        attempt: The fencing token: grows with every assignment, over all runs, and never falls.
        floor: An attempt number that some worker holds from before a crash; the next one is above it.
        losses: Workers lost in this run.
        worker: Incarnation of the worker that has the current attempt.
        worker_name: What people call it.
        holders: Namespaces that want the job, in the order they came.
        lane: The namespace whose turn it uses.
        forced: The run was asked for although a cached result exists.
        previous: That cached verdict, which stands until a forced run replaces it.
        returned: When it came back to the queue because its attempt came to nothing; 0 when it has not.
        ran: When the container began to run.
        phase_limits: How long phases other than running may take, in milliseconds, where the job says so.
        log_start: Seq of the first log line of this run; seqs go on growing over the runs of a job, so that a reader
            who follows it through a new run neither misses a line nor takes a new one for an old one.
        log_next: Seq of the next log line.
        hooks: Webhooks to be called when the run is over; None when there are none.
        v: `RECORD_VERSION` of the stored record.
    """

    id: str
    number: int
    summary: Summary
    shape: Shape = Shape()
    rev: int = 0
    state: State = State.QUEUED
    phase: Phase | None = None
    attempt: int = 0
    floor: int = 0
    losses: int = 0
    max_attempts: int = 3
    worker: str = ""
    worker_name: str = ""
    holders: tuple[str, ...] = ()
    lane: str = "_"
    priority: int = 0
    queued: int = 0
    returned: int = 0
    started: int = 0
    ran: int = 0
    finished: int = 0
    run_limit: int = 0
    queue_limit: int = 0
    phase_limits: dict[Phase, int] | None = None
    log_start: int = 0
    log_next: int = 0
    forced: bool = False
    verdict: Verdict | None = None
    previous: Verdict | None = None
    hooks: list[Hook] | None = None
    v: int = RECORD_VERSION

    @property
    def wait_until(self) -> int:
        """When a waiting job is given up, in epoch milliseconds; 0 for never.

        One that comes back after a lost worker waits anew: what it may wait is not used up by the time it ran.
        """
        return (self.returned or self.queued) + self.queue_limit if self.queue_limit else 0
