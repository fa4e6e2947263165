"""The state of one queue: its jobs, its workers, and the effects of the present event so far."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from asman_shared.states import State

from . import effects as fx
from .fleet import Fleet
from .id_filter import IdFilter
from .job import Job
from .policy import QueuePolicy
from .ready import Ready
from .waits import Waits
from .worker import Worker

REMOVED_KEPT: Final = 10_000
"""Number of removed jobs whose attempt numbers are remembered."""
DRAINED_KEPT: Final = 1000
"""Number of drained workers that are remembered after they have gone."""


class QueueState:
    """Everything that the core knows of one queue.

    The modules `assignments`, `endings` and `submissions` change it; only `QueueCore.handle` calls them.

    Args:
        policy: The operator's settings.

    Attributes:
        policy: The operator's settings.
        jobs: All jobs in memory, by id.
        slots: The unfinished job that each namespace holds.
        ready: The waiting jobs in the order in which they are assigned.
        fleet: The workers, and the choice among them.
        workers: The workers by incarnation.
        waits: The deadlines of jobs that may wait only so long.
        number: The highest place in the order of queueing that is in use.
        retention: Time in milliseconds that the queue keeps finished jobs; 0 when it follows the hub.
        paused: Time since which the queue gives no jobs to workers, in epoch milliseconds; 0 when it does.
        running: Number of Running jobs.
        finished: Number of Finished jobs, those that are only in the store included.
        complete: Every job of the queue is in memory. When false, an unknown id may be a finished job in the store,
            and the shell must look there and send `Recalled` before it asks about that id.
        left: Ids of the jobs that left memory since the queue was loaded, and of those that the shell found stored.
        removed: The last attempt number of each job that was removed on request, oldest first. Its worker may still
            speak of that attempt, so the numbers of a new job with that id go on from there.
        last_removed: The latest time at which a run of a removed job was queued; runs of a new job are later.
        drained: The workers that were drained and have gone since, by incarnation, oldest first: id and name, and the
            time of the order. One of them may come back, as after a long loss of its connection.
        settled: Finished jobs in memory whose state is durable, oldest first. These may leave memory.
        returned: Jobs that came back to the queue during the event at hand and were not offered yet.
        out: Effects of the event at hand.
    """

    def __init__(self, policy: QueuePolicy | None = None) -> None:
        self.policy = policy or QueuePolicy()
        self.jobs: dict[str, Job] = {}
        self.slots: dict[str, str] = {}
        self.ready = Ready()
        self.fleet = Fleet(self.ready, self.policy.patience)
        self.workers = self.fleet.workers
        self.waits = Waits()
        self.number = 0
        self.retention = 0
        self.paused = 0
        self.running = 0
        self.finished = 0
        self.complete = True
        self.left = IdFilter()
        self.removed: OrderedDict[str, int] = OrderedDict()
        self.last_removed = 0
        self.drained: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self.settled: OrderedDict[str, None] = OrderedDict()
        self.returned: list[Job] = []
        self.out: list[fx.Effect] = []
        self._stored_before = False

    # ---------------------------------------------------------------------------------------------------- store

    def restored(self, *, finished: int, number: int, retention: int, paused: int = 0) -> None:
        """Takes over the totals of the store (finished jobs, the highest number in use) and the queue's settings."""
        self.paused = paused
        self.number = number
        self.retention = retention
        self.finished = finished
        self._stored_before = finished > 0
        self.complete = not self._stored_before

    def may_be_stored(self, job_id: str) -> bool:
        """Whether the store may have a job that is not in memory; false is certain."""
        return not self.complete and (self._stored_before or job_id in self.left)

    @property
    def knows_stored(self) -> bool:
        """Whether `left` has every job that is not in memory; when false, the store must be asked for unknown ids."""
        return not self._stored_before

    def found_stored(self, ids: Iterable[str], *, last: bool) -> None:
        """Notes ids that were stored when the queue was loaded; ``last`` says that there are no others."""
        for job_id in ids:
            self.left.add(job_id)
        if last:
            self._stored_before = False

    def remember(self, job: Job) -> None:
        """Keeps the newest finished jobs in memory; the oldest leave it and stay in the store."""
        settled = self.settled
        settled.pop(job.id, None)
        settled[job.id] = None
        while len(settled) > max(self.policy.finished_kept, 1):
            self.leave(self.jobs[next(iter(settled))])

    def note_removed(self, job_id: str, attempt: int) -> None:
        """Notes an attempt number that a new job with this id must not use; see ``removed``."""
        if not attempt:
            return
        known = self.removed.pop(job_id, 0)
        self.removed[job_id] = max(known, attempt)
        if len(self.removed) > REMOVED_KEPT:
            self.removed.popitem(last=False)

    def note_drained(self, worker: Worker) -> None:
        """Notes that a worker has gone which gets no jobs if it comes back."""
        self.drained.pop(worker.incarnation, None)
        self.drained[worker.incarnation] = (worker.info.name, worker.leaving)
        if len(self.drained) > DRAINED_KEPT:
            self.drained.popitem(last=False)

    def leave(self, job: Job) -> None:
        """Takes a finished job out of memory; it stays in the store."""
        self.settled.pop(job.id, None)
        del self.jobs[job.id]
        self.left.add(job.id)
        self.complete = False

    # ---------------------------------------------------------------------------------------------------- reads

    def live(self, incarnation: str, job_id: str, attempt: int) -> tuple[Worker | None, Job | None]:
        """The worker, and the job if this attempt is its live one and this worker's: the fence of all reports."""
        worker = self.workers.get(incarnation)
        job = self.jobs.get(job_id)
        if (
            worker is None
            or job is None
            or job.state is not State.RUNNING
            or job.attempt != attempt
            or job.worker != incarnation
        ):
            return worker, None
        return worker, job

    def due(self, job: Job) -> int:
        """The time at which a job needs care although nothing happens, in epoch milliseconds; 0 for never.

        A waiting job is given up then; a finished one is removed.
        """
        if job.state is State.FINISHED:
            return 0 if job.kept else job.finished + (self.retention or self.policy.retention)
        return job.wait_until if job.state is State.QUEUED else 0

    # --------------------------------------------------------------------------------------------------- effects

    def changed(self, job: Job, *, first: bool = False, ended: bool = False) -> None:
        """Notes a change of a job, which may not leave memory until that is durable (`Settled`)."""
        job.rev += 1
        self.settled.pop(job.id, None)
        self.out.append(fx.Changed(job, first, ended))

    def worker_changed(self, worker: Worker) -> None:
        """Notes a change of a worker."""
        worker.rev += 1
        self.out.append(fx.WorkerChanged(worker))

    def take_effects(self) -> list[fx.Effect]:
        """Returns the effects of the event at hand, in order, and forgets them."""
        out, self.out = self.out, []
        return out
