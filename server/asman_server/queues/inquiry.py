"""Answers questions about jobs without changing anything: explains a job's state, and validates a definition."""

from __future__ import annotations

from typing import Any

from asman_shared import identity
from asman_shared.definition_check import shape_of
from asman_shared.messages import Explanation, Run, Validated
from asman_shared.validation import inspect

from ..blobs import BlobService
from ..core.explain import explain
from ..core.job_state import runs_of
from ..storage.blob_changes import blobs_of_definition
from .shell import QueueShell


async def explain_job(shell: QueueShell, job_id: str, now: int, ref: int = 0) -> Explanation:
    """Explains why a job is in its state, once that state is durable.

    Raises:
        NotFound: The queue has no such job.
        Unavailable: The job's state can't be made durable now.
    """
    job = await shell.job(job_id)
    await shell.durable(job)
    return explain(shell.core, job, now, ref)


async def runs_of_job(shell: QueueShell, job_id: str) -> list[Run]:
    """Returns the runs of a job that are remembered, once they are durable, oldest first.

    Raises:
        NotFound: The queue has no such job.
        Unavailable: The job's state can't be made durable now.
    """
    job = await shell.job(job_id)
    found = runs_of(job)
    await shell.durable(job)
    return found


async def validate(shell: QueueShell, blobs: BlobService, value: dict[str, Any], ref: int = 0) -> Validated:
    """Returns what would happen if a definition were submitted: faults, missing blobs, able workers, a known job."""
    definition, problems = inspect(value)
    if definition is None:
        return Validated(ref=ref, id="", ok=False, problems=problems)
    job_id = identity.job_id(definition)
    missing = await blobs.missing(shell.name, blobs_of_definition(definition))
    able, why = shell.core.fleet.able.count(shape_of(definition))
    job = await shell.recall.job(job_id)
    known = (await shell.durable(job)).state if job is not None else None
    return Validated(ref=ref, id=job_id, ok=not missing, missing_blobs=missing, able=able, why=why, known=known)
