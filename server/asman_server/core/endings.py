"""How runs end and jobs go: by a verdict, a lost worker, a limit that has passed, or the end of their retention."""

from __future__ import annotations

from asman_shared.messages import Verdict
from asman_shared.states import Phase, Reason, State

from . import effects as fx
from . import events as ev
from . import webhooks
from .assignments import Assignments
from .job import Job
from .policy import QueuePolicy
from .verdicts import WHY_ABORTED, lost_verdict
from .waits import Waits
from .worker import Presence, Worker


class Endings(Assignments):
    """See the module.

    Attributes:
        slots: The unfinished job that each namespace holds.
    """

    def __init__(self, policy: QueuePolicy | None = None) -> None:
        super().__init__(policy)
        self.slots: dict[str, str] = {}
        self._waits = Waits()

    def due(self, job: Job) -> int:
        """When something is to be done about a job although nothing happens, in epoch milliseconds; 0 for never.

        A waiting job is given up then, a finished one is forgotten.
        """
        if job.state is State.FINISHED:
            return job.finished + (self.retention or self.policy.retention)
        return job.wait_until if job.state is State.QUEUED else 0

    def _finish(self, job: Job, verdict: Verdict, now: int) -> None:
        """Ends a run, from Queued or Running."""
        was = job.state
        job.state = State.FINISHED
        if was is State.QUEUED:
            self.ready.gone(job, served=False)
            self.fleet.withdrawn(job.shape)
        else:
            self.running -= 1
        job.verdict = verdict
        job.phase = None
        job.worker = ""
        job.finished = now
        if verdict.reason.cacheable:
            job.previous = None
        for namespace in job.holders:
            if self.slots.get(namespace) == job.id:
                del self.slots[namespace]
        self.finished += 1
        self._changed(job, ended=True)
        self._out.extend(webhooks.ended(job))

    def _stop(self, job: Job, reason: Reason, now: int, message: str = "") -> None:
        """Ends a job from our side: its worker is told to stop, and nothing it says counts any more."""
        self._revoke(job, WHY_ABORTED.get(reason, message))
        self._finish(job, Verdict(ok=False, reason=reason, message=message, lines=job.log_next), now)

    def _requeue(self, job: Job, now: int, *, lost: bool) -> None:
        """Queues a running job again after its attempt came to nothing; ``lost`` costs it one of its attempts."""
        if lost:
            job.losses += 1
            if job.losses >= job.max_attempts:
                self._finish(job, lost_verdict(job.losses, job.log_next), now)
                return
        self.running -= 1
        job.worker = job.worker_name = ""
        job.phase = None
        job.state = State.QUEUED
        job.started = job.ran = 0
        job.returned = now
        self.ready.push(job)
        self._waits.watch(job)
        self._changed(job)
        self._back.append(job)

    def _bury(self, worker: Worker, now: int, *, charge: bool) -> None:
        """Gives up on a worker; its live jobs are queued again (``charge``: at the cost of one attempt)."""
        del self.workers[worker.incarnation]
        self.fleet.close(worker)
        worker.presence = Presence.GONE
        leases = list(worker.leases.values())
        for lease in leases:
            worker.let_go(lease.job, lease.attempt)
        self._worker_changed(worker)
        for lease in leases:
            job = self.jobs.get(lease.job)
            if lease.live and job is not None:
                self._requeue(job, now, lost=charge)

    def _settled(self, event: ev.Settled, now: int) -> None:
        job = self.jobs.get(event.job)
        if job is not None and job.state is State.FINISHED and job.rev == event.rev:
            self._remember(job)

    def _remember(self, job: Job) -> None:
        """Keeps the newest finished jobs in memory, and lets the oldest go to the store alone."""
        settled = self.settled
        settled.pop(job.id, None)
        settled[job.id] = None
        while len(settled) > max(self.policy.finished_kept, 1):
            old, _ = settled.popitem(last=False)
            del self.jobs[old]
            self.left.add(old)
            self.complete = False

    def _recalled(self, event: ev.Recalled, now: int) -> None:
        if event.job.id not in self.jobs and event.job.state is State.FINISHED:
            self.jobs[event.job.id] = event.job
            self._remember(event.job)

    def _forget(self, job: Job) -> None:
        self.jobs.pop(job.id, None)
        self.settled.pop(job.id, None)
        self.finished -= 1
        job.state = State.REMOVED
        job.rev += 1
        self._out.append(fx.Forget(job))

    def _tick(self, event: ev.Tick, now: int) -> None:
        for worker in list(self.workers.values()):
            if worker.presence is Presence.AWAY:
                if now - worker.away_since >= self.policy.grace:
                    self._bury(worker, now, charge=not worker.drained)
            else:
                self._check_leases(worker, now)
        self._check_waits(now)
        self._fill_open(now)

    def _check_leases(self, worker: Worker, now: int) -> None:
        """Takes back assignments that nothing was heard of, and ends runs and phases far past their limit."""
        slack = self.policy.run_slack
        for lease in list(worker.leases.values()):
            if not lease.live:
                continue
            job = self.jobs[lease.job]
            if lease.phase is Phase.ASSIGNED and now - lease.since >= self.policy.assigned_limit:
                self._revoke(job, "nothing was heard of it after it was assigned")
                self._requeue(job, now, lost=True)
            elif lease.phase is Phase.RUNNING:
                if job.run_limit and job.ran and now - job.ran >= job.run_limit + slack:
                    self._stop(job, Reason.TIMED_OUT, now, "its time limit passed and its worker did not say so")
            elif (limit := (job.phase_limits or {}).get(lease.phase)) and now - lease.since >= limit + slack:
                said = f"the limit of phase {lease.phase.value} passed and its worker did not say so"
                self._stop(job, Reason.TIMED_OUT, now, said)

    def _check_waits(self, now: int) -> None:
        """Gives up jobs that have waited for longer than they were given."""
        for job_id in self._waits.due(now):
            job = self.jobs.get(job_id)
            if job is not None and job.state is State.QUEUED:
                self._stop(job, Reason.TIMED_OUT, now, "it waited in the queue for longer than it was given")

    def _due(self, event: ev.Due, now: int) -> None:
        away = {job.id: job for job in event.stored}
        for job_id in event.jobs:
            job = self.jobs.get(job_id) or away.get(job_id)
            if job is not None and job.state is State.FINISHED and self.due(job) <= now:
                self._forget(job)
        self._check_waits(now)

    def _configured(self, event: ev.Configured, now: int) -> None:
        self.retention = event.retention
        kept = event.retention or self.policy.retention
        self._out.append(fx.SaveSettings(event.reply_to, event.retention, kept))
