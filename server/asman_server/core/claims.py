"""Claims of workers that choose their jobs themselves."""

from __future__ import annotations

from asman_shared.states import State

from .job import Job
from .worker import Presence, Worker


def refusal(worker: Worker, job: Job | None, *, paused: bool = False) -> str:
    """Returns the reason to refuse a claim; empty when the worker gets the job or has it already.

    Args:
        worker: The worker.
        job: The job, if the queue has it.
        paused: Whether the queue gives no jobs.
    """
    if not worker.chooses:
        return "this hub assigns this worker its jobs; it can't claim them"
    if job is None:
        return "this queue has no such job"
    if job.state is State.RUNNING:
        return "" if job.worker == worker.incarnation else "another worker has it"
    if job.state is not State.QUEUED:
        return "it is finished"
    if paused:
        return "the queue is paused"
    if worker.presence is not Presence.READY:
        return "this worker accepts no more jobs"
    lack = worker.lacks(job.shape)
    if lack:
        return f"it needs more {lack} than this worker has"
    return "" if worker.fits(job.shape) else "this worker has no room for it now"
