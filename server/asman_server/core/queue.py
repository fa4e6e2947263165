"""The queue core: the only judge of which worker runs which job, which attempt is live, and which result counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from asman_shared.messages import Register
from asman_shared.states import Phase, Reason, State

from . import assignments, claims, endings, submissions
from . import effects as fx
from . import events as ev
from .fleet import Fleet
from .job import Job
from .policy import QueuePolicy
from .ready import Ready
from .reconcile import AHEAD, reconcile, unsettled
from .state import QueueState
from .worker import Lease, Presence, Worker


class QueueCore:
    """One queue as a pure state machine: no I/O, no clock, no randomness. `handle` is the only way in.

    Args:
        policy: The operator's settings.
    """

    def __init__(self, policy: QueuePolicy | None = None) -> None:
        self.state = QueueState(policy)
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
            ev.NotStored: self._not_stored,
            ev.Tick: self._tick,
            ev.Due: self._due,
            ev.Configured: self._configured,
            ev.KeepRequested: self._keep_requested,
            ev.DismissRequested: self._dismiss_requested,
            ev.PurgeRequested: self._purge_requested,
            ev.QueueDeleted: self._queue_deleted,
        }

    def handle(self, event: ev.Event, now: int) -> list[fx.Effect]:
        """Takes one event at a time, in epoch milliseconds, and returns its effects in order."""
        self._handlers[type(event)](event, now)
        assignments.settle(self.state, now)
        return self.state.take_effects()

    def unload(self) -> None:
        """Frees what the queue remembers beside its jobs; for a queue that leaves memory.

        A queue is part of reference cycles, and a garbage collector that counts objects does not see the strings in
        them: queues that come and go would fill the memory before it runs.
        """
        self.state.removed.clear()

    # ---------------------------------------------------------------------------------------------------- reads

    @property
    def jobs(self) -> dict[str, Job]:
        """All jobs in memory, by id."""
        return self.state.jobs

    @property
    def workers(self) -> dict[str, Worker]:
        """The workers by incarnation."""
        return self.state.workers

    @property
    def slots(self) -> dict[str, str]:
        """The unfinished job that each namespace holds."""
        return self.state.slots

    @property
    def ready(self) -> Ready:
        """The waiting jobs in the order in which they are assigned."""
        return self.state.ready

    @property
    def fleet(self) -> Fleet:
        """The workers, and the choice among them."""
        return self.state.fleet

    @property
    def policy(self) -> QueuePolicy:
        """The operator's settings."""
        return self.state.policy

    @property
    def retention(self) -> int:
        """Time in milliseconds that the queue keeps finished jobs; 0 when it follows the hub."""
        return self.state.retention

    @property
    def paused(self) -> int:
        """Time since which the queue gives no jobs to workers, in epoch milliseconds; 0 when it does."""
        return self.state.paused

    @property
    def running(self) -> int:
        """Number of Running jobs."""
        return self.state.running

    @property
    def finished(self) -> int:
        """Number of Finished jobs, those that are only in the store included."""
        return self.state.finished

    @property
    def busy(self) -> bool:
        """Whether time matters: a worker is here or may come back, a job runs, or one waits with a limit."""
        state = self.state
        return bool(state.workers or state.running or state.waits)

    @property
    def complete(self) -> bool:
        """Whether every job of the queue is in memory; see `QueueState.complete`."""
        return self.state.complete

    @property
    def knows_stored(self) -> bool:
        """Whether the ids of all stored jobs are known; see `QueueState.knows_stored`."""
        return self.state.knows_stored

    def may_be_stored(self, job_id: str) -> bool:
        """Whether the store may have a job that is not in memory; false is certain."""
        return self.state.may_be_stored(job_id)

    def found_stored(self, ids: Iterable[str], *, last: bool) -> None:
        """Notes ids that were stored when the queue was loaded; see `QueueState.found_stored`."""
        self.state.found_stored(ids, last=last)

    def current(self, incarnation: str, job_id: str, attempt: int) -> Job | None:
        """The job if this worker has its live attempt: the fence for every report of a worker."""
        return self.state.live(incarnation, job_id, attempt)[1]

    def due(self, job: Job) -> int:
        """The time at which a job needs care although nothing happens, in epoch milliseconds; 0 for never."""
        return self.state.due(job)

    # --------------------------------------------------------------------------------------------------- restart

    def restore(
        self, jobs: list[Job], now: int, *, finished: int, number: int, retention: int = 0, paused: int = 0
    ) -> None:
        """Takes over the unfinished jobs of the store when the hub starts.

        Running jobs stay with their workers, which have the grace from now on to come back. Effects come with the next
        event.

        Args:
            jobs: The unfinished jobs.
            now: Epoch milliseconds.
            finished: Number of finished jobs in the store.
            number: The highest number in use.
            retention: The queue's own retention in milliseconds; 0 when it follows the hub.
            paused: Time since which the queue is paused; 0 when it is not.
        """
        state = self.state
        state.restored(finished=finished, number=number, retention=retention, paused=paused)
        replaced: list[tuple[Job, str]] = []
        for job in sorted(jobs, key=lambda j: j.number):
            state.jobs[job.id] = job
            for namespace in job.holders:
                if namespace != submissions.DEFAULT_NAMESPACE:
                    older = state.slots.get(namespace)
                    if older is not None:  # its end was refused by the store, and the hub crashed right after
                        replaced.append((state.jobs[older], namespace))
                    state.slots[namespace] = job.id
            if job.state is State.QUEUED:
                state.ready.push(job)
                state.waits.watch(job)
                continue
            state.running += 1
            worker = state.workers.get(job.worker)
            if worker is None:
                worker = self._absent(job, now)
            lease = Lease(job.id, job.attempt, job.shape, now, phase=job.phase or Phase.ASSIGNED)
            worker.hold(lease)
        for job, namespace in replaced:
            submissions.release(state, job, namespace, Reason.REPLACED, now)

    def _absent(self, job: Job, now: int) -> Worker:
        """Adds a worker that is known only from a job that it had when the hub stopped; no executor is known of it."""
        info = Register(incarnation=job.worker, name=job.worker_name or "?", cpus=0, executor="")
        worker = Worker(0, info, now)
        worker.presence = Presence.AWAY
        worker.away_since = now
        self.state.workers[job.worker] = worker
        return worker

    # --------------------------------------------------------------------------------------------------- clients

    def _submitted(self, event: ev.Submitted, now: int) -> None:
        submissions.submit(self.state, event, now)

    def _cancel_requested(self, event: ev.CancelRequested, now: int) -> None:
        state = self.state
        job = state.jobs.get(event.job)
        if job is None:
            self._refuse_unknown(event.reply_to, event.job)
            return
        released = submissions.release(state, job, event.namespace, Reason.CANCELLED, now)
        state.out.append(fx.CancelAnswer(event.reply_to, released, job))

    def _delete_requested(self, event: ev.DeleteRequested, now: int) -> None:
        state = self.state
        job = state.jobs.get(event.job)
        if job is None:
            self._refuse_unknown(event.reply_to, event.job)
            return
        endings.remove(state, job, now)
        state.out.append(fx.DeleteAnswer(event.reply_to, event.job))

    def _refuse_unknown(self, reply_to: Any, job: str) -> None:
        self.state.out.append(fx.Refused(reply_to, "not_found", f"this queue has no job {job[:12]}…"))

    def _configured(self, event: ev.Configured, now: int) -> None:
        state = self.state
        if event.retention is not None:
            state.retention = event.retention
        if event.paused is not None and event.paused != (state.paused > 0):
            state.paused = now if event.paused else 0
            assignments.fill_open(state, now)
        kept = state.retention or state.policy.retention
        state.out.append(fx.SaveSettings(event.reply_to, state.retention, kept, state.paused))

    def _keep_requested(self, event: ev.KeepRequested, now: int) -> None:
        state = self.state
        job = state.jobs.get(event.job)
        if job is None:
            self._refuse_unknown(event.reply_to, event.job)
            return
        if job.kept != event.keep:
            job.kept = event.keep
            state.changed(job)
        state.out.append(fx.KeepAnswer(event.reply_to, job))

    def _purge_requested(self, event: ev.PurgeRequested, now: int) -> None:
        state = self.state
        away = {job.id: job for job in event.stored}
        count = 0
        for job_id in event.jobs:
            job = state.jobs.get(job_id) or away.get(job_id)
            if job is None or job.kept or job.state not in event.states:
                continue
            if event.reasons and job.previous is not None and job.previous.ok and Reason.SUCCESS not in event.reasons:
                continue  # the success before this run is its result
            if job.state is State.QUEUED:
                meant = job.queued <= event.before
            else:
                ended = job.verdict is not None and (not event.reasons or job.verdict.reason in event.reasons)
                meant = job.state is State.FINISHED and ended and job.finished <= event.before
            if meant:
                endings.remove(state, job, now)
                count += 1
        state.out.append(fx.PurgeAnswer(event.reply_to, count))

    # --------------------------------------------------------------------------------------------------- workers

    def _worker_joined(self, event: ev.WorkerJoined, now: int) -> None:
        state = self.state
        info = event.info
        worker = state.workers.get(info.incarnation)
        if worker is None:
            worker = Worker(event.session, info, now, chooses=event.chooses)
            worker.leaving = state.drained.pop(info.incarnation, ("", 0))[1]
            if worker.leaving:
                worker.presence = Presence.DRAINING
            state.workers[info.incarnation] = worker
        else:
            worker.session = event.session
            worker.presence = Presence.DRAINING if info.draining or worker.leaving else Presence.READY
            worker.away_since = 0
            worker.chooses = event.chooses
            worker.equip(info)
        state.fleet.close(worker)
        found = reconcile(worker, info.holding, state.jobs, state.settled, now)
        for held in found.abort:
            if held.job not in state.jobs and held.attempt <= AHEAD:
                state.note_removed(held.job, held.attempt)
        state.out.append(fx.Resumed(worker, found.keep, found.abort))
        state.fleet.able.forget()
        state.worker_changed(worker)
        for job, begun in found.lost:
            why = "was started again and lost the job" if begun else "never received the job"
            endings.requeue(state, job, now, why, lost=begun)
        assignments.fill(state, worker, now)
        self._dismiss_done(worker)

    def _worker_lost(self, event: ev.WorkerLost, now: int) -> None:
        state = self.state
        worker = state.workers.get(event.incarnation)
        if worker is None or worker.session != event.session or worker.presence is Presence.AWAY:
            return
        state.fleet.able.forget()
        state.fleet.close(worker)
        worker.drained = worker.presence is Presence.DRAINING
        worker.presence = Presence.AWAY
        worker.away_since = now
        worker.forget_dead()
        if not worker.leases:
            endings.bury(state, worker, now, charge=False)
        else:
            state.worker_changed(worker)

    def _claimed(self, event: ev.Claimed, now: int) -> None:
        """Gives a waiting job to the first worker that claims it and has room; a repeated claim changes nothing."""
        state = self.state
        worker = state.workers.get(event.incarnation)
        if worker is None:
            return
        job = state.jobs.get(event.job)
        why = claims.refusal(worker, job, paused=state.paused > 0)
        if why:
            state.out.append(fx.Refused(event.reply_to, "conflict", why))
        elif job is not None and job.state is State.QUEUED:
            assignments.assign(state, worker, job, now)

    def _drain_requested(self, event: ev.DrainRequested, now: int) -> None:
        state = self.state
        worker = state.workers.get(event.incarnation)
        if worker is None or worker.presence is not Presence.READY:
            return
        worker.presence = Presence.DRAINING
        state.fleet.able.forget()
        state.fleet.close(worker)
        state.worker_changed(worker)

    def _queue_deleted(self, _event: ev.QueueDeleted, now: int) -> None:
        """Stops every attempt. Nothing is handed out any more."""
        self.state.paused = self.state.paused or now
        for worker in self.state.workers.values():
            for (job, attempt), lease in worker.leases.items():
                if lease.live:
                    self.state.out.append(fx.Abort(worker, job, attempt, "the queue was deleted"))

    def _dismiss_requested(self, event: ev.DismissRequested, now: int) -> None:
        state = self.state
        named = [each for each in state.workers.values() if event.worker in (each.incarnation[:8], each.info.name)]
        gone = [each for each, (name, _) in state.drained.items() if event.undo and event.worker in (each[:8], name)]
        for each in gone:
            del state.drained[each]
        if not (named or gone):
            why = f"no worker of this queue has the id or name '{event.worker}'"
            state.out.append(fx.Refused(event.reply_to, "not_found", why))
            return
        state.fleet.able.forget()
        for worker in named:
            worker.leaving = 0 if event.undo else now
            if worker.presence is Presence.READY and worker.leaving:
                worker.presence = Presence.DRAINING
                state.fleet.close(worker)
            elif worker.presence is Presence.DRAINING and event.undo and not worker.info.draining:
                worker.presence = Presence.READY
                assignments.fill(state, worker, now)
            state.worker_changed(worker)
        state.out.append(fx.DismissAnswer(event.reply_to, named))
        for worker in named:
            self._dismiss_done(worker)

    def _dismiss_done(self, worker: Worker) -> None:
        if worker.done:
            self.state.out.append(fx.Dismiss(worker))

    # -------------------------------------------------------------------------------------------------- attempts

    def _phase_reported(self, event: ev.PhaseReported, now: int) -> None:
        worker, job = self.state.live(event.incarnation, event.job, event.attempt)
        if worker is None:
            return
        if job is None:
            if unsettled(self.state.jobs.get(event.job), event.attempt, self.state.settled):
                return  # its worker must not forget the outcome yet
            why = "this attempt is no longer the live one"
            self.state.out.append(fx.Abort(worker, event.job, event.attempt, why))
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
        self.state.changed(job)

    def _attempt_finished(self, event: ev.AttemptFinished, now: int) -> None:
        state = self.state
        worker, job = state.live(event.incarnation, event.job, event.attempt)
        if worker is None:
            return
        worker.let_go(event.job, event.attempt)
        if job is not None:
            endings.accept(state, job, event.outcome, now)
        state.out.append(fx.Acknowledge(worker, event.job, event.attempt, job is not None))
        assignments.fill(state, worker, now)
        self._dismiss_done(worker)

    def _attempt_released(self, event: ev.AttemptReleased, now: int) -> None:
        state = self.state
        worker, job = state.live(event.incarnation, event.job, event.attempt)
        if worker is None:
            return
        worker.let_go(event.job, event.attempt)
        if job is not None:
            leaving = worker.presence is not Presence.READY
            gave = "is stopping, or takes no jobs now, and gave the job back" if leaving else "gave the job back"
            endings.requeue(state, job, now, "no longer runs the job" if event.lost else gave, lost=event.lost)
        assignments.fill(state, worker, now)
        state.worker_changed(worker)
        self._dismiss_done(worker)

    # ------------------------------------------------------------------------------------------- store and time

    def _settled(self, event: ev.Settled, now: int) -> None:
        job = self.state.jobs.get(event.job)
        if job is not None and job.state is State.FINISHED and (job.queued, job.rev) == (event.run, event.rev):
            self.state.remember(job)

    def _not_stored(self, event: ev.NotStored, now: int) -> None:
        """Ends the job, or removes it; a newer state that may be stored yet is left alone."""
        state = self.state
        job = state.jobs.get(event.job)
        if job is None or job.queued != event.run:
            return
        if event.whole:
            endings.remove(state, job, now, event.why)
        elif job.state is State.FINISHED and not event.ended:
            if job.rev == event.rev:  # the store keeps its end as it was
                state.leave(job)
        elif job.state is State.FINISHED or job.rev == event.rev:
            endings.give_up(state, job, now, event.why)

    def _recalled(self, event: ev.Recalled, now: int) -> None:
        state = self.state
        if event.job.id not in state.jobs and event.job.state is State.FINISHED:
            state.jobs[event.job.id] = event.job
            state.remember(event.job)

    def _tick(self, event: ev.Tick, now: int) -> None:
        endings.check_workers(self.state, now)
        endings.check_waits(self.state, now)
        assignments.fill_open(self.state, now)

    def _due(self, event: ev.Due, now: int) -> None:
        state = self.state
        away = {job.id: job for job in event.stored}
        for job_id in event.jobs:
            job = state.jobs.get(job_id) or away.get(job_id)
            if job is not None and job.state is State.FINISHED and 0 < state.due(job) <= now:
                endings.forget(state, job)
        endings.check_waits(state, now)
