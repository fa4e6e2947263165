"""``asman job add``: submission of a job to a queue."""

from __future__ import annotations

import asyncio
import os
import shlex
from typing import Annotated, Any, cast

import typer

from .. import options as o
from ..follow import follow, submit
from ..job_options import JobOptions, check_runs, takes_job_options
from ..json_values import job_value
from ..named_job import check_submits, split_input
from ..stop_signals import Stopped, stoppable
from ..terminal import Terminal


@takes_job_options
def add(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUEUE] [-]",
            help="The queue (default: $ASMAN_QUEUE); '-' reads a definition in JSON or YAML from standard input.",
            show_default=False,
        ),
    ] = None,
    hub: o.HubOption = None,
    command: Annotated[
        str | None, typer.Option("--command", "-c", help="The command, split into words as a shell does.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is finished, as 'asman run' does.")] = False,
    output: o.OutputOption = None,
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    *,
    options: JobOptions,
) -> None:
    """Submit a job; with --wait, show its output and exit with its exit code.

    With '-', the definition comes from standard input, either alone or as 'definition' in an object that may also hold
    'namespace', 'priority', 'timeout', …. Options replace parts of it.
    """
    _check_words(words or [], hub)
    o.check_output(output)
    terminal = Terminal(json=json, quiet=quiet)
    queue, from_input = split_input(words or [])
    fields, policy = options.fields(), options.policy()
    if command is not None:
        fields["command"] = command
    definition: dict[str, Any] | None = None
    if from_input:
        from ..given import read_definition

        definition, of_input = read_definition()
        policy = cast(Any, {**policy, **of_input, **options.explicit_policy()})
        if o.only_of_environment(ctx, "image") and (definition.get("image") or definition.get("build")):
            fields["image"] = None

    check_runs(fields, definition)

    async def work(stopped: Stopped) -> int:
        async with o.open_queue(queue, hub) as opened:
            check_submits(opened, shows="asman job add --wait" if wait or output is not None else "")
            job = await submit(opened, terminal, fields, policy, definition)
            if wait or output is not None:
                return await follow(job, terminal, stopped, output=output)
            if json:
                terminal.value(job_value(job))
            else:
                terminal.result(job.id)
            return 0

    raise typer.Exit(asyncio.run(stoppable(work, terminal)))


def _check_words(words: list[str], hub: str | None) -> None:
    """Checks that no words are a command, which ``asman run`` takes in this form.

    Raises:
        UsageError: There is a word that is neither the queue nor ``-``.
    """
    left = words[:-1] if words and words[-1] == "-" else words
    is_command = bool(left) and not hub and not o.is_queue(left[0])
    if len(left) > 1 or (is_command and os.environ.get(o.QUEUE_VARIABLE)):
        command = left if is_command else left[1:]
        raise o.UsageError(
            f"'{command[0]}' is not the address of a queue; if it begins the command, write it as "
            f"-c {shlex.quote(shlex.join(command))}, or use 'asman run'"
        )
