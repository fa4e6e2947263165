"""The queue: the only judge of who runs what, which attempt is live and when a result counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from asman_shared import limits
from asman_shared.messages import Outcome, Register
from asman_shared.states import Phase, Reason, State

from . import claims, webhooks
from . import effects as fx
from . import events as ev
from .endings import Endings
from .job import Job
from .lease import Lease
from .policy import QueuePolicy
from .reconcile import reconcile
from .verdicts import verdict_of
from .worker import Presence, Worker

ALL_NAMESPACES: Final = "*"
DEFAULT_NAMESPACE: Final = "_"
CROWDED: Final = f"{limits.NAMESPACES_PER_JOB} namespaces hold this job, which is the most; submit it in one of them"

LINES_AHEAD: Final = 2**32
"""Log lines that can be lost on the way; a worker that claims more has made them up."""


class QueueCore(Endings):
    """One queue. `handle` is the only way in."""

    def __init__(self, policy: QueuePolicy | None = None) -> None:
        super().__init__(policy)
        self._number = 0
        self._handlers: dict[type[ev.Event], Callable[[Any, int], None]] = {
            ev.Submitted: self._submitted,
            ev.CancelRequested: self._cancel_requested,
            ev.DeleteRequested: self._delete_requested,
            ev.Recalled: self._recalled,
            ev.WorkerJoined: self._worker_joined,
            ev.WorkerLost: self._worker_lost,
            ev.Claimed: self._claimed,
            ev.DrainRequested: self._drain_requested,
            ev.PhaseReported: self._phase_reported,
            ev.AttemptFinished: self._attempt_finished,
            ev.AttemptReleased: self._attempt_released,
            ev.Settled: self._settled,
            ev.Tick: self._tick,
            ev.Due: self._due,
            ev.Configured: self._configured,
        }

    def handle(self, event: ev.Event, now: int) -> list[fx.Effect]:
        """Takes one event at a time (ms) and says what follows from it, in order."""
        self._handlers[type(event)](event, now)
        for worker in self.fleet.take_freed():
            self._fill(worker, now)
        if self._back:
            self._offer_back(now)
        out, self._out = self._out, []
        return out

    @property
    def busy(self) -> bool:
        """Whether time matters: somebody works, waits with a limit, or may come back."""
        return bool(self.workers or self.running or self._waits)

    def restore(self, jobs: list[Job], now: int, *, finished: int, number: int, retention: int = 0) -> None:
        """Takes over what the store holds when the hub starts: every job that is not finished.

        Running jobs stay with their workers, which have the grace from now on to come back.

        Args:
            jobs: The unfinished jobs.
            now: Milliseconds.
            finished: How many finished jobs the store holds besides.
            number: The highest number in use.
            retention: As the queue was configured.
        """
        self._number = number
        self.retention = retention
        self.finished = finished
        self._stored_before = finished > 0
        self.complete = not self._stored_before
        for job in sorted(jobs, key=lambda j: j.number):
            self.jobs[job.id] = job
            for namespace in job.holders:
                if namespace != DEFAULT_NAMESPACE:
                    self.slots[namespace] = job.id
            if job.state is State.QUEUED:
                self.ready.push(job)
                self._waits.watch(job)
                continue
            self.running += 1
            worker = self.workers.get(job.worker)
            if worker is None:
                worker = self._absent(job, now)
            lease = Lease(job.id, job.attempt, job.shape, now, phase=job.phase or Phase.ASSIGNED)
            worker.hold(lease)

    def _absent(self, job: Job, now: int) -> Worker:
        """A worker known only from a job that it had when the hub stopped."""
        info = Register(incarnation=job.worker, name=job.worker_name or "?", cpus=0)
        worker = Worker(0, info, now)
        worker.presence = Presence.AWAY
        worker.away_since = now
        self.workers[job.worker] = worker
        return worker

    # ------------------------------------------------------------------------------------------------- clients

    def _submitted(self, event: ev.Submitted, now: int) -> None:
        job = self.jobs.get(event.job)
        if webhooks.full(job, event.calls):
            self._out.append(fx.Refused(event.reply_to, "too_large", webhooks.FULL))
            return
        if job is not None and not job.state.over and _crowded(job, event.namespace):
            self._out.append(fx.Refused(event.reply_to, "too_large", CROWDED))
            return
        if event.namespace != DEFAULT_NAMESPACE:
            self._take_slot(event.namespace, event.job, now)
        if job is not None and job.state is State.FINISHED and event.reuse == "cached":
            if job.previous is not None and not (job.verdict and job.verdict.reason.cacheable):
                job.verdict, job.previous = job.previous, None
                self._changed(job)
            if job.verdict is not None and job.verdict.reason.cacheable:
                self._hold(job, event.namespace)
                self._out.extend(webhooks.cached(job, event))
                self._out.append(fx.SubmitAnswer(event.reply_to, "cached", job, 0, ""))
                return
        if job is not None and job.state is not State.FINISHED:
            self._hold(job, event.namespace)
            if webhooks.joined(job, event):
                self._changed(job)
            self._raise_priority(job, event.priority)
            able, why = self.fleet.able.count(job.shape)
            self._out.append(fx.SubmitAnswer(event.reply_to, "joined", job, able, why))
            return
        if job is None:
            job = Job(id=event.job, number=0, summary=event.summary, shape=event.shape)
            self.jobs[event.job] = job
        else:
            self.finished -= 1
            self._out.append(fx.ClearRun(job.id))
        self._begin(job, event, now)
        self._out.extend(webhooks.begun(job, event))
        able, why = self.fleet.able.count(job.shape)
        self._out.append(fx.SubmitAnswer(event.reply_to, "queued", job, able, why))
        self._offer(job, now)

    def _begin(self, job: Job, event: ev.Submitted, now: int) -> None:
        """Starts a new run of a job: all of the old run goes but its attempt number and a verdict worth keeping."""
        self._number += 1
        if job.verdict is not None and job.verdict.reason.cacheable:
            job.previous = job.verdict
        job.number = self._number
        job.verdict = None
        job.forced = event.reuse == "never"
        job.losses = 0
        job.log_start = job.log_next
        job.returned = job.started = job.ran = job.finished = 0
        job.worker = job.worker_name = ""
        job.queued = now
        job.priority = event.priority
        job.run_limit = event.run_limit
        job.queue_limit = event.queue_limit
        job.phase_limits = event.phase_limits or None
        job.max_attempts = event.max_attempts
        job.holders = (event.namespace,)
        job.lane = event.namespace
        if event.namespace != DEFAULT_NAMESPACE:
            self.slots[event.namespace] = job.id
        job.state = State.QUEUED
        self.ready.push(job)
        self._waits.watch(job)
        self._changed(job, first=True)

    def _take_slot(self, namespace: str, wanted: str, now: int) -> None:
        held = self.slots.get(namespace)
        if held is None or held == wanted:
            return
        older = self.jobs.get(held)
        if older is not None:
            self._release(older, namespace, Reason.REPLACED, now)

    def _hold(self, job: Job, namespace: str) -> None:
        if namespace not in job.holders and not _crowded(job, namespace):
            job.holders = (*job.holders, namespace)
            self._changed(job)
        if namespace != DEFAULT_NAMESPACE and job.state is not State.FINISHED:
            self.slots[namespace] = job.id

    def _raise_priority(self, job: Job, priority: int) -> None:
        """A job that is wanted by several is as urgent as the most urgent of them."""
        if priority <= job.priority:
            return
        self._changed(job)
        if job.state is State.QUEUED:
            self.ready.lines[job.shape].move(job, priority, self.ready.turns)
        else:
            job.priority = priority

    def _release(self, job: Job, namespace: str, reason: Reason, now: int) -> bool:
        """Takes a job out of one namespace or all; stops it when nobody holds it any more."""
        if job.state is State.FINISHED:
            return False
        if namespace == ALL_NAMESPACES:
            left: tuple[str, ...] = ()
        elif namespace in job.holders:
            left = tuple(held for held in job.holders if held != namespace)
        else:
            return False
        for gone in set(job.holders) - set(left):
            if self.slots.get(gone) == job.id:
                del self.slots[gone]
        if left:
            self._out.extend(webhooks.released(job, set(job.holders) - set(left), reason))
            job.holders = left
            self._changed(job)
        else:
            self._stop(job, reason, now)
        return True

    def _cancel_requested(self, event: ev.CancelRequested, now: int) -> None:
        job = self.jobs.get(event.job)
        if job is None:
            self._refuse_unknown(event.reply_to, event.job)
            return
        released = self._release(job, event.namespace, Reason.CANCELLED, now)
        self._out.append(fx.CancelAnswer(event.reply_to, released, job))

    def _delete_requested(self, event: ev.DeleteRequested, now: int) -> None:
        job = self.jobs.get(event.job)
        if job is None:
            self._refuse_unknown(event.reply_to, event.job)
            return
        if job.state is not State.FINISHED:
            self._stop(job, Reason.DELETED, now)
        self._forget(job)
        self._out.append(fx.DeleteAnswer(event.reply_to, event.job))

    def _refuse_unknown(self, reply_to: Any, job: str) -> None:
        self._out.append(fx.Refused(reply_to, "not_found", f"this queue has no job {job[:12]}…"))

    # ------------------------------------------------------------------------------------------------- workers

    def _worker_joined(self, event: ev.WorkerJoined, now: int) -> None:
        info = event.info
        worker = self.workers.get(info.incarnation)
        if worker is None:
            worker = Worker(event.session, info, now, chooses=event.chooses)
            self.workers[info.incarnation] = worker
        else:
            worker.session = event.session
            worker.presence = Presence.DRAINING if info.draining else Presence.READY
            worker.away_since = 0
            worker.chooses = event.chooses
            worker.equip(info)
        self.fleet.close(worker)
        found = reconcile(worker, info.holding, self.jobs, now)
        self._out.append(fx.Resumed(worker, found.keep, found.abort))
        self.fleet.able.forget()
        self._worker_changed(worker)
        for job, begun in found.lost:
            self._requeue(job, now, lost=begun)
        self._fill(worker, now)

    def _claimed(self, event: ev.Claimed, now: int) -> None:
        """The first claim of a waiting job gets it, if the worker can run it; a claim of what it has is nothing new."""
        worker = self.workers.get(event.incarnation)
        if worker is None:
            return
        job = self.jobs.get(event.job)
        why = claims.refusal(worker, job)
        if why:
            self._out.append(fx.Refused(event.reply_to, "conflict", why))
        elif job is not None and job.state is State.QUEUED:
            self._assign(worker, job, now)

    def _worker_lost(self, event: ev.WorkerLost, now: int) -> None:
        worker = self.workers.get(event.incarnation)
        if worker is None or worker.session != event.session or worker.presence is Presence.AWAY:
            return
        self.fleet.able.forget()
        self.fleet.close(worker)
        worker.drained = worker.presence is Presence.DRAINING
        worker.presence = Presence.AWAY
        worker.away_since = now
        worker.forget_dead()
        if not worker.leases:
            self._bury(worker, now, charge=False)
        else:
            self._worker_changed(worker)

    def _drain_requested(self, event: ev.DrainRequested, now: int) -> None:
        worker = self.workers.get(event.incarnation)
        if worker is None or worker.presence is not Presence.READY:
            return
        worker.presence = Presence.DRAINING
        self.fleet.able.forget()
        self.fleet.close(worker)
        self._worker_changed(worker)

    def _phase_reported(self, event: ev.PhaseReported, now: int) -> None:
        worker, job = self._live(event.incarnation, event.job, event.attempt)
        if worker is None:
            return
        if job is None:
            self._out.append(fx.Abort(worker, event.job, event.attempt, "this attempt is no longer the live one"))
            return
        lease = worker.leases[event.job, event.attempt]
        if lease.phase is not event.phase:
            lease.phase, lease.since = event.phase, now
        if job.phase is event.phase:
            return
        job.phase = event.phase
        if event.phase is Phase.RUNNING:
            job.ran = now
        elif event.phase.prepares:
            job.ran = 0
        self._changed(job)

    def _attempt_finished(self, event: ev.AttemptFinished, now: int) -> None:
        worker, job = self._live(event.incarnation, event.job, event.attempt)
        if worker is None:
            return
        worker.let_go(event.job, event.attempt)
        if job is not None:
            self._accept(job, event.outcome, now)
        self._out.append(fx.Acknowledge(worker, event.job, event.attempt, job is not None))
        self._fill(worker, now)

    def _accept(self, job: Job, outcome: Outcome, now: int) -> None:
        if job.log_next < outcome.lines <= job.log_next + LINES_AHEAD:
            job.log_next = outcome.lines
        verdict = verdict_of(outcome, job.log_next)
        if verdict.reason.cacheable or job.previous is None:
            self._out.append(fx.StoreResult(job, outcome))
        self._finish(job, verdict, now)

    def _attempt_released(self, event: ev.AttemptReleased, now: int) -> None:
        worker, job = self._live(event.incarnation, event.job, event.attempt)
        if worker is None:
            return
        worker.let_go(event.job, event.attempt)
        if job is not None:
            self._requeue(job, now, lost=event.lost)
        self._fill(worker, now)
        self._worker_changed(worker)


def _crowded(job: Job, namespace: str) -> bool:
    """Whether as many namespaces hold a job as may, and this is another one."""
    return len(job.holders) >= limits.NAMESPACES_PER_JOB and namespace not in job.holders
