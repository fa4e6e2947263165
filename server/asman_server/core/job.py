"""One job of a queue: everything that the hub knows of it except its definition, log and result."""

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
        number: Its place in the order of queueing; every new run in the queue gets a higher one.
        rev: Grows with every change.
        attempt: The fencing token: grows with every assignment, over all runs, and never falls.
        floor: An attempt number that a worker may still speak of, from before a crash or before the job was removed;
            the next attempt gets a higher one.
        losses: Workers lost in this run.
        worker: Incarnation of the worker that has the current attempt.
        worker_name: Name of that worker, for people.
        holders: Namespaces that hold the job, in the order of submission.
        lane: Namespace whose turn it uses.
        forced: Whether the run was requested although a cached result exists.
        previous: The cached verdict, which stays valid until a forced run replaces it.
        returned: Time at which it came back to the queue after a lost attempt, in epoch milliseconds; 0 if it did not.
        ran: Time at which the container began to run, in epoch milliseconds.
        phase_limits: Time limits of phases other than running, in milliseconds, where the job has them.
        log_start: Seq of the first log line of this run. Seqs grow over all runs of a job, so a reader that follows the
            job through a new run neither misses a line nor takes a new one for an old one.
        log_next: Seq of the next log line.
        hooks: Webhooks to call at the end of the run; None when there are none.
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
        """Time at which a waiting job is given up, in epoch milliseconds; 0 for never.

        A job that comes back after a lost worker has its full waiting time again.
        """
        return (self.returned or self.queued) + self.queue_limit if self.queue_limit else 0
