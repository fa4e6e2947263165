"""Handing jobs to workers, and taking them back: the part of the queue that both its sides use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from asman_shared.states import Phase, State

from . import effects as fx
from .fleet import Fleet
from .id_filter import IdFilter
from .job import Job
from .lease import Lease
from .policy import QueuePolicy
from .ready import Ready
from .worker import Worker


class Assignments:
    """What a queue holds, and who of it is where.

    Args:
        policy: What the operator tunes.

    Attributes:
        jobs: All jobs in memory, by id.
        retention: Milliseconds that the queue keeps finished jobs; 0 when it follows the hub.
        running: How many of the jobs are Running.
        finished: How many are Finished, those that are only in the store included.
        complete: Every job of the queue is in memory; when false, an unknown id may be a finished job in the store,
            and the shell must look there and send `Recalled` before asking about it.
        left: The jobs that have left memory since the queue was loaded, and those that the shell found in the store.
        settled: The finished jobs in memory whose state is durable, which may leave it, those settled first first.
    """

    def __init__(self, policy: QueuePolicy | None = None) -> None:
        self.policy = policy or QueuePolicy()
        self.jobs: dict[str, Job] = {}
        self.ready = Ready()
        self.fleet = Fleet(self.ready, self.policy.patience)
        self.workers = self.fleet.workers
        self.retention = 0
        self.running = 0
        self.finished = 0
        self.complete = True
        self.left = IdFilter()
        self.settled: OrderedDict[str, None] = OrderedDict()
        self._stored_before = False
        self._back: list[Job] = []
        self._out: list[fx.Effect] = []

    def may_be_stored(self, job_id: str) -> bool:
        """Whether a job that is not in memory may be in the store; false is certain."""
        return not self.complete and (self._stored_before or job_id in self.left)

    @property
    def knows_stored(self) -> bool:
        """Whether `left` has all that is not in memory; when false, each unknown id has to be looked for."""
        return not self._stored_before

    def found_stored(self, ids: Iterable[str], *, last: bool) -> None:
        """Takes in some of the jobs that the store had when the queue was loaded; with ``last``, it had no others."""
        for job_id in ids:
            self.left.add(job_id)
        if last:
            self._stored_before = False

    def _live(self, incarnation: str, job_id: str, attempt: int) -> tuple[Worker | None, Job | None]:
        """The worker that speaks, and the job if this attempt of it is the live one and this worker's."""
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

    def current(self, incarnation: str, job_id: str, attempt: int) -> Job | None:
        """The job if this worker has its live attempt: the fence for everything a worker says."""
        return self._live(incarnation, job_id, attempt)[1]

    def _offer(self, job: Job, now: int) -> None:
        """Looks for a worker for the line that a job has just joined: whoever is first in it is handed out."""
        line = self.ready.lines.get(job.shape)
        worker = self.fleet.choose(line) if line is not None else None
        if line is None or worker is None:
            return
        head = line.head(self.ready.turns)
        if head is not None:
            self._assign(worker, head[1], now)

    def _offer_back(self, now: int) -> None:
        """Offers what came back in this event, when all of it has: the most urgent first.

        One offer for each: what is handed out may be another of the same line, which then has its own offer to give.
        """
        back, self._back = self._back, []
        for job in sorted(back, key=lambda job: (-job.priority, job.number)):
            self._offer(job, now)

    def _fill(self, worker: Worker, now: int) -> None:
        """Hands a worker jobs until it is full or nothing fits."""
        if not self.fleet.open(worker):
            return
        while self.ready.waiting:
            job = self.fleet.next_for(worker, now)
            if job is None:
                return
            self._assign(worker, job, now)

    def _fill_open(self, now: int) -> None:
        if self.ready.waiting:
            for worker in self.fleet.with_room():
                self._fill(worker, now)

    def _assign(self, worker: Worker, job: Job, now: int) -> None:
        job.state = State.RUNNING
        self.ready.gone(job, served=True)
        job.attempt = max(job.attempt, job.floor) + 1
        while (job.id, job.attempt) in worker.leases:
            job.attempt += 1
        job.phase = Phase.ASSIGNED
        job.worker = worker.incarnation
        job.worker_name = worker.info.name
        job.started = now
        job.ran = 0
        self.running += 1
        worker.hold(Lease(job.id, job.attempt, job.shape, now))
        self.fleet.assigned(worker, job.shape)
        self._out.append(fx.Assign(worker, job, job.attempt))
        self._changed(job)

    def _revoke(self, job: Job, why: str) -> None:
        """Takes the live attempt of a job from its worker, whose capacity stays in use until it has let go."""
        if job.state is not State.RUNNING:
            return
        worker = self.workers.get(job.worker)
        if worker is None:
            return
        lease = worker.leases.get((job.id, job.attempt))
        if lease is None:
            return
        lease.live = False
        self._out.append(fx.Abort(worker, job.id, job.attempt, why))

    def _changed(self, job: Job, *, first: bool = False, ended: bool = False) -> None:
        """Notes a change; until it is durable (`Settled`), the job may not leave memory."""
        job.rev += 1
        self.settled.pop(job.id, None)
        self._out.append(fx.Changed(job, first, ended))

    def _worker_changed(self, worker: Worker) -> None:
        worker.rev += 1
        self._out.append(fx.WorkerChanged(worker))
