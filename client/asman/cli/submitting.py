"""``asman job add``, ``asman job copy`` and ``asman job url``: jobs that go into a queue, or into a link."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from . import options as o
from .follow import follow, submit
from .job import JobWords, with_job
from .joboptions import JobOptions, takes_job_options
from .shapes import job_value
from .terminal import Terminal

if TYPE_CHECKING:
    from asman_shared.definition import Definition

    from ..client import Queue
    from ..job import Job


@takes_job_options
def add(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUEUE] [-]",
            help="The queue (default: $ASMAN_QUEUE); '-' reads a whole definition from standard input, JSON or YAML.",
            show_default=False,
        ),
    ] = None,
    hub: o.HubOption = None,
    command: Annotated[
        str | None, typer.Option("--command", "-c", help="The command, split into words as a shell does.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is finished, as 'asman run' does.")] = False,
    output: o.OutputOption = None,
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    *,
    options: JobOptions,
) -> None:
    """Submit a job; with --wait, show its output and exit with its exit code.

    With ``-`` the definition comes from standard input, alone or as ``definition`` beside ``namespace``, ``priority``,
    ``timeout``, …; options replace parts of it.
    """
    o.check_output(output)
    terminal = Terminal(json=json, quiet=quiet)
    queue, from_input = _words(words or [])
    fields, policy = options.fields(), options.policy()
    if command is not None:
        fields["command"] = command
    definition: dict[str, Any] | None = None
    if from_input:
        from .given import read_definition

        definition, of_input = read_definition()
        policy = cast(Any, {**policy, **of_input, **options.spoken()})
        if o.only_of_environment(ctx, "image") and (definition.get("image") or definition.get("build")):
            fields["image"] = None

    async def work() -> int:
        async with o.open_queue(queue, hub) as opened:
            job = await submit(opened, terminal, fields, policy, definition)
            if wait or output is not None:
                return await follow(job, terminal, output=output)
            if json:
                terminal.value(job_value(job))
            else:
                terminal.result(job.id)
            return 0

    raise typer.Exit(asyncio.run(work()))


def _words(words: list[str]) -> tuple[str | None, bool]:
    from asman_shared.errors import BadRequest

    left, from_input = (words[:-1], True) if words and words[-1] == "-" else (words, False)
    if len(left) > 1:
        raise BadRequest(f"'{left[1]}' is one word too many: a queue is expected, and '-' for standard input")
    return (left[0] if left else None), from_input


def url(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[QUEUE] JOB|-", help="The job, or '-' for a definition from standard input."),
    ],
    hub: o.HubOption = None,
    with_queue: Annotated[
        bool, typer.Option("--queue/--no-queue", help="Whether the link names the queue; who has it can use the queue.")
    ] = True,
    json: o.JsonOption = False,
) -> None:
    """Print the address of the page that holds a whole job; 'asman run URL' runs it, and so does the page."""
    terminal = Terminal(json=json)

    def tell(definition: Definition, hub_url: str, name: str) -> None:
        from asman_shared.identity import job_id
        from asman_shared.job_url import write_job_url

        link = write_job_url(hub_url, definition, queue=name if with_queue else "")
        if json:
            terminal.value({"id": job_id(definition), "url": link})
        else:
            terminal.result(link)

    if words[-1] == "-":
        from ..definitions import read
        from .given import read_definition

        queue, _ = _words(words)
        address = o.find_queue(queue, hub)
        tell(read(read_definition()[0]), address.hub, address.queue)
        return

    async def work(job: Job) -> int:
        tell(job.definition, job.address.hub, job.address.queue)
        return 0

    with_job(words, hub, work)


def copy(
    words: JobWords,
    to: Annotated[str, typer.Option("--to", metavar="QUEUE", help="The queue to copy it to, as URL or @name.")],
    hub: o.HubOption = None,
    namespace: o.NamespaceOption = "_",
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Submit a job to another queue, on the same hub or another; its files go along."""
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
    """Brings the blobs that a job names from its hub to another, those that are not there."""
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
    """The sha256 of every blob that a definition names: inputs, settings, and a folder that its image is built of."""
    from asman_shared.definition import UPLOADED

    refs = [*(definition.inputs or {}).values(), *(definition.config_files or {}).values()]
    context = definition.build.context if definition.build is not None else None
    built_of = {context.removeprefix(UPLOADED)} if context is not None and context.startswith(UPLOADED) else set()
    return built_of | {str(ref.value) for ref in refs if ref.type == "key"}
