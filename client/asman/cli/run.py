"""``asman run``: one job, from its command to its exit code."""

from __future__ import annotations

import asyncio
from typing import Annotated, cast

import typer

from . import options as o
from .follow import OnInterrupt, follow, submit
from .terminal import Terminal

OnInterruptOption = Annotated[
    str,
    typer.Option(
        "--on-interrupt",
        metavar="ask|cancel|leave",
        help="What Ctrl-C does to the job. Without a terminal, 'ask' cancels a run that this command began.",
    ),
]


def run(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUEUE] -- COMMAND…", help="Where and what to run.", show_default=False),
    ] = None,
    hub: o.HubOption = None,
    image: o.ImageOption = None,
    file: o.FileOption = None,
    env: o.EnvOption = None,
    cpus: o.CpusOption = None,
    memory: o.MemoryOption = None,
    gpus: o.GpusOption = None,
    tag: o.TagOption = None,
    timeout: o.TimeoutOption = None,
    output: o.OutputOption = None,
    keep: o.KeepOption = None,
    namespace: o.NamespaceOption = "_",
    priority: o.PriorityOption = 0,
    reuse: o.ReuseOption = "cached",
    workdir: Annotated[str | None, typer.Option("--workdir", "-w", help="Working directory.")] = None,
    on_interrupt: OnInterruptOption = "ask",
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Run a command as a job, show its output as it comes, and exit with its exit code.

    Words behind ``--`` are the command, one argument each: ``asman run QUEUE -i alpine -- sh -c 'echo hello'``.
    The same job a second time is not run again: its output and result come from the first.
    """
    from asman_shared.errors import BadRequest

    queue, command = _words(words or [], ctx.obj)
    if on_interrupt not in ("ask", "cancel", "leave"):
        raise BadRequest(f"--on-interrupt is 'ask', 'cancel' or 'leave', not '{on_interrupt}'")
    terminal = Terminal(json=json, quiet=quiet)

    async def work() -> int:
        async with o.open_queue(queue, hub) as opened:
            job = await submit(
                opened,
                terminal,
                {
                    "image": image,
                    "command": command or None,
                    "workdir": workdir,
                    "files": o.read_files(file),
                    "env": o.read_env(env) or None,
                    "cpus": cpus,
                    "memory": memory,
                    "gpus": gpus,
                    "tags": tag or None,
                    "outputs": keep or None,
                },
                namespace=namespace,
                priority=priority,
                reuse=reuse,
                timeout=timeout,
            )
            return await follow(job, terminal, output=output, on_interrupt=cast(OnInterrupt, on_interrupt))

    raise typer.Exit(asyncio.run(work()))


def _words(before: list[str], behind: list[str] | None) -> tuple[str | None, list[str]]:
    """The queue and the command, from the words before ``--`` and those behind it (None: there is no ``--``)."""
    if behind is None:
        return (before[0] if before else None), before[1:]
    if len(before) > 1:
        from asman_shared.errors import BadRequest

        raise BadRequest(f"'{before[1]}' stands before the '--': only the queue does")
    return (before[0] if before else None), behind
