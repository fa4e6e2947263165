"""Assigning jobs to workers, and revoking assignments."""

from __future__ import annotations

from asman_shared.states import Phase, State

from . import effects as fx
from .job import Job
from .state import QueueState
from .worker import Lease, Worker


def offer(state: QueueState, job: Job, now: int) -> None:
    """Looks for a worker for the line that a job has joined; the head of the line is assigned."""
    if state.paused:
        return
    line = state.ready.lines.get(job.shape)
    worker = state.fleet.choose(line) if line is not None else None
    if line is None or worker is None:
        return
    head = line.head(state.ready.turns)
    if head is not None:
        assign(state, worker, head[1], now)


def settle(state: QueueState, now: int) -> None:
    """Offers the room and the jobs that the event at hand has freed, until nothing more can be assigned.

    An assignment may free room that was kept for the job on another worker, so one pass is not enough.
    """
    while state.returned or state.fleet.freed:
        for worker in state.fleet.take_freed():
            fill(state, worker, now)
        if state.returned:
            _offer_returned(state, now)


def _offer_returned(state: QueueState, now: int) -> None:
    """Offers the jobs that came back, the most urgent first.

    Each job has one offer. An offer may assign another job of the same line, which then makes its own offer.
    """
    returned, state.returned = state.returned, []
    for job in sorted(returned, key=lambda job: (-job.priority, job.number)):
        offer(state, job, now)


def fill(state: QueueState, worker: Worker, now: int) -> None:
    """Assigns jobs to a worker until it is full or nothing fits."""
    if not state.fleet.open(worker) or state.paused:
        return
    while state.ready.waiting:
        job = state.fleet.next_for(worker, now)
        if job is None:
            return
        assign(state, worker, job, now)


def fill_open(state: QueueState, now: int) -> None:
    """Fills every worker that may have room."""
    if state.ready.waiting:
        for worker in state.fleet.with_room():
            fill(state, worker, now)


def assign(state: QueueState, worker: Worker, job: Job, now: int) -> None:
    """Makes a waiting job Running on a worker, with the next attempt number."""
    job.state = State.RUNNING
    state.ready.gone(job, served=True)
    job.attempt = max(job.attempt, job.floor) + 1
    while (job.id, job.attempt) in worker.leases:
        job.attempt += 1
    job.phase = Phase.ASSIGNED
    job.worker = worker.incarnation
    job.worker_name = worker.info.name
    job.started = now
    job.ran = 0
    job.log_attempt = job.log_next
    state.running += 1
    worker.hold(Lease(job.id, job.attempt, job.shape, now))
    state.fleet.assigned(worker, job.shape)
    state.out.append(fx.Assign(worker, job, job.attempt))
    state.changed(job)


def revoke(state: QueueState, job: Job, why: str) -> None:
    """Takes the live attempt of a job from its worker, whose capacity stays in use until the worker lets go."""
    if job.state is not State.RUNNING:
        return
    worker = state.workers.get(job.worker)
    if worker is None:
        return
    lease = worker.leases.get((job.id, job.attempt))
    if lease is None:
        return
    lease.live = False
    state.out.append(fx.Abort(worker, job.id, job.attempt, why))
