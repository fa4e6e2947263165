"""``asman job copy``: submission of an existing job to another queue, with its files."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as o
from ..follow import submit
from ..json_values import job_value
from ..named_job import JobWords, with_job
from ..terminal import Terminal

if TYPE_CHECKING:
    from asman_shared.definition import Definition

    from ...client import Queue
    from ...job import Job


def copy(
    words: JobWords,
    to: Annotated[str, typer.Option("--to", metavar="QUEUE", help="The queue to copy the job to: its URL or @name.")],
    hub: o.HubOption = None,
    namespace: o.NamespaceOption = "_",
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Copy a job with its files to another queue, on the same hub or another, and run it there."""
    terminal = Terminal(json=json, quiet=quiet)

    async def work(job: Job) -> int:
        async with o.open_queue(to, hub) as target:
            if target.address.hub != job.address.hub:
                await _carry_over(job, target)
            made = await submit(target, terminal, {}, {"namespace": namespace}, job.definition)
            if json:
                terminal.value(job_value(made))
            else:
                terminal.result(made.id)
        return 0

    with_job(words, hub, work)


async def _carry_over(job: Job, target: Queue) -> None:
    """Copies the blobs of a job from its hub to another, except those that are already there."""
    from asman_shared.errors import NotFound

    with tempfile.TemporaryDirectory(prefix="asman-") as folder:
        for key in sorted(_blobs_of(job.definition)):
            try:
                await target.blob_size(key)
                continue
            except NotFound:
                file = Path(folder, key)
            await job.save_blob(key, file)
            await target.put_blob(file)
            await asyncio.to_thread(file.unlink)


def _blobs_of(definition: Definition) -> set[str]:
    """Collects the sha256 of every blob of a definition: inputs, configuration files, and the build context."""
    from asman_shared.definition import UPLOADED

    refs = [*(definition.inputs or {}).values(), *(definition.config_files or {}).values()]
    context = definition.build.context if definition.build is not None else None
    built_of = {context.removeprefix(UPLOADED)} if context is not None and context.startswith(UPLOADED) else set()
    return built_of | {str(ref.value) for ref in refs if ref.type == "key"}
