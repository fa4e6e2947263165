"""``asman run``: a job from its command to its exit code."""

from __future__ import annotations

import asyncio
import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .. import exits
from .. import options as o
from ..follow import OnInterrupt, follow, submit
from ..job_options import JobOptions, check_runs, takes_job_options
from ..named_job import check_submits
from ..stop_signals import Stopped, stoppable
from ..terminal import Terminal

if TYPE_CHECKING:
    from asman_shared.definition import Definition


OnInterruptOption = Annotated[
    str,
    typer.Option(
        "--on-interrupt",
        metavar="ask|cancel|leave",
        help="Effect of Ctrl-C, SIGTERM and SIGHUP on the job. Where nobody can be asked, 'ask' cancels a run that"
        " this command started.",
    ),
]


@takes_job_options
def run(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUEUE|URL] -- COMMAND…",
            help="The queue or the URL of a job, and the command.",
            show_default=False,
        ),
    ] = None,
    hub: o.HubOption = None,
    output: o.OutputOption = None,
    on_interrupt: OnInterruptOption = "ask",
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    *,
    options: JobOptions,
) -> None:
    """Run a command as a job, show its output live, and exit with its exit code.

    The words after '--' are the command, one argument each:

    asman run QUEUE -i alpine -- sh -c 'echo hello'

    Without '--', the first word is the queue and the others are the command. 'asman run URL' runs the job in the URL of
    a page (see 'asman job url'); options and a command replace parts of it.
    """
    from asman_shared.errors import BadRequest

    if ctx.obj is None:
        _check_queue(words or [], hub)
    queue, command = _words(words or [], ctx.obj)
    if on_interrupt not in ("ask", "cancel", "leave"):
        raise exits.usage(BadRequest(f"--on-interrupt must be 'ask', 'cancel' or 'leave', not '{on_interrupt}'"))
    o.check_output(output)
    terminal = Terminal(json=json, quiet=quiet)
    fields, policy = options.fields(), options.policy()
    if command:
        fields["command"] = command
    definition: Definition | None = None
    if queue is not None and "#" in queue:
        definition, queue, of_url = _from_url(queue)
        policy = cast(Any, {**policy, **of_url, **options.explicit_policy()})
        if o.only_of_environment(ctx, "image") and (definition.image or definition.build):
            fields["image"] = None

    check_runs(fields, definition)

    async def work(stopped: Stopped) -> int:
        async with o.open_queue(queue, hub) as opened:
            check_submits(opened, shows="asman run")
            job = await submit(opened, terminal, fields, policy, definition)
            choice = cast(OnInterrupt, on_interrupt)
            return await follow(job, terminal, stopped, output=output, on_interrupt=choice)

    raise typer.Exit(asyncio.run(stoppable(work, terminal)))


def _from_url(url: str) -> tuple[Definition, str | None, Any]:
    from asman_shared.job_url import read_job_url

    from ..given import policy_of, queue_of

    found = read_job_url(url)
    return found.definition, queue_of(found), policy_of(found)


def _check_queue(words: list[str], hub: str | None) -> None:
    """Checks that the first word is not the command, as it is when '--' was forgotten.

    Raises:
        UsageError: It can't be a queue.
    """
    first = words[0] if words else ""
    if first and os.environ.get(o.QUEUE_VARIABLE) and not hub and not o.is_queue(first):
        raise o.UsageError(
            f"'{first}' is not the address of a queue; if '{first}' is the command, write: "
            f"asman run -- {shlex.join(words)}"
        )


def _words(before: list[str], behind: list[str] | None) -> tuple[str | None, list[str]]:
    """Finds the queue and the command in the words before and after ``--`` (None: there is no ``--``)."""
    if behind is None:
        return (before[0] if before else None), before[1:]
    if len(before) > 1:
        from asman_shared.errors import BadRequest

        raise exits.usage(BadRequest(f"unexpected argument '{before[1]}' before '--': only the queue belongs there"))
    return (before[0] if before else None), behind
