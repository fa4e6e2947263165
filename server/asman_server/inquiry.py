"""Questions about jobs that change nothing: why is it where it is, and what would submitting it meet."""

from __future__ import annotations

from typing import Any

from asman_shared import identity, limits
from asman_shared.definition import Definition, shape_of
from asman_shared.messages import Explanation, Validated
from asman_shared.validation import inspect

from .blobs import BlobStore
from .core.explain import explain
from .queue_shell import QueueShell


async def explain_job(shell: QueueShell, job_id: str, now: int, ref: int = 0) -> Explanation:
    """Why a job is where it is, once that is durable.

    Raises:
        NotFound: The queue has no such job.
        Unavailable: What is known can't be made durable now.
    """
    job = await shell.job(job_id)
    await shell.durable(job)
    return explain(shell.core, job, now, ref)


async def validate(shell: QueueShell, blobs: BlobStore, value: dict[str, Any], ref: int = 0) -> Validated:
    """What submitting a definition would meet."""
    definition, problems = inspect(value)
    if definition is None:
        return Validated(ref=ref, id="", ok=False, problems=problems)
    job_id = identity.job_id(definition)
    missing = await missing_blobs(blobs, definition)
    able, why = shell.core.fleet.able.count(shape_of(definition))
    job = await shell.recall(job_id)
    known = (await shell.durable(job)).state if job is not None else None
    return Validated(ref=ref, id=job_id, ok=not missing, missing_blobs=missing, able=able, why=why, known=known)


async def missing_blobs(blobs: BlobStore, definition: Definition) -> list[str]:
    """The sha256 of each blob that a definition names and the store does not have."""
    refs = [*(definition.inputs or {}).values(), *(definition.config_files or {}).values()]
    keys = list(dict.fromkeys(str(ref.value) for ref in refs if ref.type == "key"))
    missing: list[str] = []
    for at in range(0, len(keys), limits.BLOBS_PER_REQUEST):
        links = await blobs.links(keys[at : at + limits.BLOBS_PER_REQUEST])
        missing += [link.sha256 for link in links if not link.url]
    return missing
