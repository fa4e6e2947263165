"""``asman job …``: commands for one job that exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as o
from ..attempts import losses_told
from ..follow import finish, save, say_end, say_skipped
from ..json_values import job_value, outputs_value
from ..named_job import JobWords, names_no_queue, with_job
from ..terminal import Terminal, table

if TYPE_CHECKING:
    from asman_shared.messages import Run

    from ...job import Job

RunsOption = Annotated[bool, typer.Option("--runs", help="Also show the job's earlier runs.")]
WaitTimeout = Annotated[
    str | None, typer.Option("--timeout", help="Maximum time to wait: 90s, 20m.", show_default=False)
]


def show(words: JobWords, hub: o.HubOption = None, runs: RunsOption = False, json: o.JsonOption = False) -> None:
    """Show a job's state and times, its definition, and how it ended.

    With --runs, also its earlier runs; 'asman job logs --run N' has the log of one. The URL of a job with its key is
    enough: without a queue, it shows what whoever has that URL may see.
    """
    import msgspec

    from asman_shared.errors import NotFound

    from ..job_facts import facts_of, lines_of
    from ..linked_job import LinkedJob

    terminal = Terminal(json=json)
    linked = LinkedJob.of(words[0]) if len(words) == 1 else None

    def by_link(linked: LinkedJob) -> None:
        linked.read()
        if json:
            terminal.value(linked.value())
        else:
            for line in lines_of(linked.facts()):
                terminal.result(line)

    async def work(job: Job) -> int:
        result = await job.result(check=False) if job.verdict is not None else None
        if json:
            found = {"runs": msgspec.to_builtins(await job.runs())} if runs else {}
            terminal.value({**job_value(job, result), "definition": msgspec.to_builtins(job.definition), **found})
        else:
            for line in lines_of(facts_of(job, result)):
                terminal.result(line)
            if runs:
                _show_runs(terminal, await job.runs())
        return 0

    if linked is not None and names_no_queue(words[0]):
        by_link(linked)
        return
    try:
        with_job(words, hub, work)
    except NotFound:  # it may be the job of another queue
        if linked is None:
            raise
        by_link(linked)


def _show_runs(terminal: Terminal, runs: list[Run]) -> None:
    from ..job_facts import run_row

    terminal.result("")
    for row in table(("RUN", "ENDED", "CODE", "STARTED", "TOOK", "WORKER", "LOG"), list(map(run_row, runs))):
        terminal.result(row)


def explain(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Explain why a job is in its present state: what it is waiting for, what is being done, or how it ended."""
    import msgspec

    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        found = await job.explain()
        if json:
            value = msgspec.to_builtins(found)
            terminal.value({name: value[name] for name in value if name not in ("type", "ref")})
        else:
            terminal.result(f"{found.state.value}: {found.sentence}")
        return 0

    with_job(words, hub, work)


def wait(words: JobWords, hub: o.HubOption = None, timeout: WaitTimeout = None, json: o.JsonOption = False) -> None:
    """Wait until a job is finished, and exit with its exit code."""
    from ...deadline import milliseconds
    from .. import exits

    terminal = Terminal(json=json)
    seconds = None if timeout is None else milliseconds(timeout, field="timeout") / 1000

    async def work(job: Job) -> int:
        async with losses_told(job, terminal.note):
            verdict = await job.wait(seconds)
        if json:
            terminal.value(job_value(job))
        say_end(verdict, terminal)
        return exits.of_verdict(verdict)

    with_job(words, hub, work)


def result(
    words: JobWords,
    hub: o.HubOption = None,
    output: o.OutputOption = None,
    timeout: WaitTimeout = None,
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Wait until a job is finished, show its result, and exit with its exit code."""
    from ...deadline import milliseconds
    from ..job_facts import facts_of, lines_of

    o.check_output(output)
    seconds = None if timeout is None else milliseconds(timeout, field="timeout") / 1000
    terminal = Terminal(json=json, quiet=quiet)

    async def work(job: Job) -> int:
        async with losses_told(job, terminal.note):
            found = await job.result(seconds, check=False)
        if not json:
            for line in lines_of(facts_of(job, found)):
                terminal.result(line)
        return await finish(job, found, terminal, output=output)

    with_job(words, hub, work)


def outputs(
    words: JobWords,
    hub: o.HubOption = None,
    output: o.OutputOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Write this output to standard output.", show_default=False)
    ] = None,
    json: o.JsonOption = False,
) -> None:
    """List a finished job's outputs, save them all (-o), or write one to standard output (--name)."""
    from ..job_facts import size_of

    o.check_output(output)
    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        found = await job.result(check=False)
        if name is not None:
            terminal.data(await found.outputs[name].read_bytes())
            return 0
        paths: list[Path] = [] if output is None else await save(found, output)
        for path in paths:
            terminal.note(f"saved {path}")
        if json:
            terminal.value(outputs_value(job, found))
        elif output is None:
            rows = [(each.name, size_of(each), each.media_type) for each in found.outputs.values()]
            for line in table(("OUTPUT", "SIZE", "TYPE"), rows):
                terminal.result(line)
        say_skipped(found, terminal)
        return 0

    with_job(words, hub, work)
