"""Ends of runs and of jobs: by a verdict, a lost worker, a limit that has passed, or the end of the retention."""

from __future__ import annotations

from typing import Final

from asman_shared.messages import Outcome, Verdict
from asman_shared.states import Fault, Phase, Reason, State

from . import assignments, webhooks
from . import effects as fx
from .job import Job
from .state import QueueState
from .verdicts import WHY_ABORTED, lost_verdict, verdict_of
from .worker import Presence, Worker

LINES_AHEAD: Final = 2**32
"""Log lines that can be lost on the way; a worker that claims more has made them up."""


def accept(state: QueueState, job: Job, outcome: Outcome, now: int) -> None:
    """Ends a run with the outcome that its worker reported."""
    if job.log_next < outcome.lines <= job.log_next + LINES_AHEAD:
        job.log_next = outcome.lines
    verdict = verdict_of(outcome, job.log_next)
    if job.previous is not None and not job.previous.ok:
        job.previous = None  # only a success outlives what a worker says of a later run
    if verdict.reason.cacheable or job.previous is None:
        state.out.append(fx.StoreResult(job, outcome))
    finish(state, job, verdict, now)


def finish(state: QueueState, job: Job, verdict: Verdict, now: int) -> None:
    """Ends a run, from Queued or Running."""
    was = job.state
    job.state = State.FINISHED
    if was is State.QUEUED:
        state.ready.gone(job, served=False)
        state.fleet.withdrawn(job.shape)
    else:
        state.running -= 1
    job.verdict = verdict
    job.phase = None
    job.worker = ""
    job.finished = now
    if verdict.reason.cacheable:
        job.previous = None
    for namespace in job.holders:
        if state.slots.get(namespace) == job.id:
            del state.slots[namespace]
    state.finished += 1
    state.changed(job, ended=True)
    state.out.extend(webhooks.ended(job))


def stop(state: QueueState, job: Job, reason: Reason, now: int, message: str = "", fault: Fault | None = None) -> None:
    """Ends a run by the hub's decision: its worker is told to stop, and no report of it counts any more."""
    assignments.revoke(state, job, WHY_ABORTED.get(reason, message))
    finish(state, job, Verdict(ok=False, reason=reason, message=message, fault=fault, lines=job.log_next), now)


def give_up(state: QueueState, job: Job, now: int, why: str) -> None:
    """Ends a run whose state can't be stored with a verdict in the place of all that its worker or client said."""
    if job.state is not State.FINISHED:
        stop(state, job, Reason.ERROR, now, why, Fault.HUB)
        return
    job.verdict = Verdict(ok=False, reason=Reason.ERROR, fault=Fault.HUB, message=why, lines=job.log_next)
    job.worker_name = ""
    state.changed(job)


def requeue(state: QueueState, job: Job, now: int, why: str, *, lost: bool) -> None:
    """Queues a running job again after its attempt came to nothing.

    Args:
        state: The queue.
        job: The job.
        now: Epoch milliseconds.
        why: What its worker did, or what became of it, as the end of a sentence that begins with the worker's name.
        lost: Whether this costs one of its attempts; without any left, the run ends.
    """
    job.back = f"worker '{job.worker_name}' {why}"
    if lost:
        job.losses += 1
        if job.losses >= job.max_attempts:
            finish(state, job, lost_verdict(job.losses, job.log_next), now)
            return
    state.running -= 1
    job.worker = job.worker_name = ""
    job.phase = None
    job.state = State.QUEUED
    job.started = job.ran = 0
    job.returned = now
    state.ready.push(job)
    state.waits.watch(job)
    state.changed(job)
    state.returned.append(job)


def bury(state: QueueState, worker: Worker, now: int, *, charge: bool) -> None:
    """Gives up on a worker; its live jobs are queued again (``charge``: at the cost of one attempt each)."""
    del state.workers[worker.incarnation]
    if worker.leaving:
        state.note_drained(worker)
    state.fleet.close(worker)
    worker.presence = Presence.GONE
    leases = list(worker.leases.values())
    why = "was lost" if charge else "was stopped before the job had ended"
    for lease in leases:
        worker.let_go(lease.job, lease.attempt)
    state.worker_changed(worker)
    for lease in leases:
        job = state.jobs.get(lease.job)
        if lease.live and job is not None:
            requeue(state, job, now, why, lost=charge)


def forget(state: QueueState, job: Job) -> None:
    """Removes a finished job for good."""
    state.jobs.pop(job.id, None)
    state.settled.pop(job.id, None)
    state.finished -= 1
    state.last_removed = max(state.last_removed, job.queued)
    job.state = State.REMOVED
    job.rev += 1
    state.out.append(fx.Forget(job))


def remove(state: QueueState, job: Job, now: int, why: str = "") -> None:
    """Removes a job for good on request, and stops it first if it has not ended."""
    if job.state is not State.FINISHED:
        stop(state, job, Reason.DELETED, now, why)
    state.note_removed(job.id, max(job.attempt, job.floor))
    forget(state, job)


def check_workers(state: QueueState, now: int) -> None:
    """Gives up on workers whose grace has passed, and on attempts of the others that are far past a limit."""
    for worker in list(state.workers.values()):
        if worker.presence is not Presence.AWAY:
            check_leases(state, worker, now)
        elif now - worker.away_since >= state.policy.grace:
            bury(state, worker, now, charge=not worker.drained)


def check_leases(state: QueueState, worker: Worker, now: int) -> None:
    """Takes back assignments without any report, and ends runs and phases that are far past their limit."""
    slack = state.policy.run_slack
    for lease in list(worker.leases.values()):
        if not lease.live:
            continue
        job = state.jobs[lease.job]
        if lease.phase is Phase.ASSIGNED and now - lease.since >= state.policy.assigned_limit:
            assignments.revoke(state, job, "the worker reported nothing after it was assigned")
            requeue(state, job, now, "was given the job and never said that it has it", lost=True)
        elif lease.phase is Phase.RUNNING:
            if job.run_limit and job.ran and now - job.ran >= job.run_limit + slack:
                stop(state, job, Reason.TIMED_OUT, now, "its time limit passed, and its worker did not report it")
        elif (limit := (job.phase_limits or {}).get(lease.phase)) and now - lease.since >= limit + slack:
            said = f"the limit of phase {lease.phase.value} passed, and its worker did not report it"
            stop(state, job, Reason.TIMED_OUT, now, said)


def check_waits(state: QueueState, now: int) -> None:
    """Gives up jobs that have waited in the queue for longer than they may."""
    for job_id in state.waits.due(now):
        job = state.jobs.get(job_id)
        if job is not None and job.state is State.QUEUED:
            stop(state, job, Reason.TIMED_OUT, now, "it waited in the queue longer than its limit")
