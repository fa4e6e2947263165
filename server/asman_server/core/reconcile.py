"""Reconciliation of a worker's attempts when it comes back; where the two views differ, the hub's is right."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from msgspec import Struct

from asman_shared.messages import Held, Kept
from asman_shared.states import Phase, State

from .job import Job
from .worker import NO_SHAPE, Lease, Worker

AHEAD: Final = 1000
"""Most attempts that lost commits can have held; a worker that claims a higher number made it up."""


class Reconciled(Struct):
    """The outcome of a reconciliation.

    Attributes:
        keep: Attempts that continue, or whose outcome the worker must keep for now.
        abort: Attempts that the worker must stop and forget.
        lost: Jobs that the worker should hold and does not, each with whether its attempt had begun.
    """

    keep: list[Kept]
    abort: list[Held]
    lost: list[tuple[Job, bool]]


def reconcile(
    worker: Worker, holding: list[Held], jobs: Mapping[str, Job], settled: Container[str], now: int
) -> Reconciled:
    """Adjusts a worker's leases to the attempts that it reports, as far as they are right.

    An attempt that the worker should not run is aborted, and uses its capacity until it is released. A finished
    attempt uses no capacity. An attempt that the worker should have and does not was lost on the way.

    An attempt whose outcome the hub has taken, but not yet made durable, is kept: if the hub is killed now, only the
    worker has its outcome. The worker reports it again and is told to forget it when it is durable.

    Args:
        worker: The worker.
        holding: What it reports.
        jobs: The queue's jobs in memory.
        settled: Ids of the finished jobs whose state is durable.
        now: The time, in epoch milliseconds.
    """
    made = Reconciled([], [], [])
    said = {(held.job, held.attempt): held for held in holding}
    for key, lease in list(worker.leases.items()):
        if key not in said:
            worker.let_go(*key)
            if lease.live:
                made.lost.append((jobs[lease.job], lease.phase is not Phase.ASSIGNED))
        elif lease.live:
            made.keep.append(Kept(lease.job, lease.attempt, jobs[lease.job].log_next))
    for key, held in said.items():
        known = worker.leases.get(key)
        if known is None:
            job = jobs.get(held.job)
            if job is not None and held.attempt <= job.attempt + AHEAD:
                # It may stem from an assignment whose commit was lost: its number must not be given out again.
                job.floor = max(job.floor, held.attempt)
            shape = job.shape if job is not None and not held.done else NO_SHAPE
            known = Lease(held.job, held.attempt, shape, now, live=False, phase=held.phase)
            worker.hold(known)
        elif held.done:
            worker.vacate(known)
        if not known.live:
            job = jobs.get(held.job)
            if job is not None and held.done and unsettled(job, held.attempt, settled):
                made.keep.append(Kept(held.job, held.attempt, job.log_next))
            else:
                made.abort.append(held)
    return made


def unsettled(job: Job | None, attempt: int, settled: Container[str]) -> bool:
    """Whether an attempt was the last of its job, and the job's end is not durable yet."""
    return job is not None and job.state is State.FINISHED and job.attempt == attempt and job.id not in settled
