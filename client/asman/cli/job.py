"""``asman job …``: what can be done with jobs, one command each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .follow import finish, follow, save, say_end, submit
from .shapes import job_value, outputs_value, state_value
from .terminal import Terminal, table

if TYPE_CHECKING:
    from ..job import Job

app = typer.Typer(help="Submit, show, follow, cancel and delete jobs.", no_args_is_help=True, rich_markup_mode=None)

JobWords = Annotated[
    list[str],
    typer.Argument(
        metavar="[QUEUE] JOB", help="The queue (default: $ASMAN_QUEUE), and the job's id, its beginning, or its URL."
    ),
]
WaitTimeout = Annotated[str | None, typer.Option("--timeout", help="How long to wait: 90s, 20m.", show_default=False)]


@app.command("add")
def add(
    queue: o.QueueArgument = None,
    hub: o.HubOption = None,
    command: Annotated[
        str | None, typer.Option("--command", "-c", help="The command, split into words as a shell does.")
    ] = None,
    image: o.ImageOption = None,
    file: o.FileOption = None,
    env: o.EnvOption = None,
    cpus: o.CpusOption = None,
    memory: o.MemoryOption = None,
    gpus: o.GpusOption = None,
    tag: o.TagOption = None,
    timeout: o.TimeoutOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is finished, as 'asman run' does.")] = False,
    output: o.OutputOption = None,
    keep: o.KeepOption = None,
    namespace: o.NamespaceOption = "_",
    priority: o.PriorityOption = 0,
    reuse: o.ReuseOption = "cached",
    json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Submit a job; with --wait, show its output and exit with its exit code."""
    terminal = Terminal(json=json, quiet=quiet)

    async def work() -> int:
        async with o.open_queue(queue, hub) as opened:
            job = await submit(
                opened,
                terminal,
                {
                    "image": image,
                    "command": command,
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
            if wait or output is not None:
                return await follow(job, terminal, output=output)
            if json:
                terminal.value(job_value(job))
            else:
                terminal.result(job.id)
            return 0

    raise typer.Exit(asyncio.run(work()))


@app.command("list")
def list_jobs(
    queue: o.QueueArgument = None,
    hub: o.HubOption = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only Queued, Running or Finished. Repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, newest first.")] = 50,
    json: o.JsonOption = False,
) -> None:
    """List a queue's jobs, newest first."""
    from asman_shared.errors import BadRequest
    from asman_shared.states import State

    terminal = Terminal(json=json)
    known = {each.value.lower(): each for each in State}
    try:
        states = [known[each.lower()] for each in state or ()]
    except KeyError as error:
        raise BadRequest(f"{error} is not a state: Queued, Running and Finished are") from None

    async def work() -> None:
        async with o.open_queue(queue, hub) as opened:
            jobs = []
            async for job in opened.jobs(states):
                jobs.append(job)
                if len(jobs) == limit:
                    break
        if json:
            terminal.value([state_value(job) for job in jobs])
            return
        rows = [
            (
                job.id[:12],
                (job.phase or job.state).value if job.verdict is None else job.verdict.reason.value,
                (job.summary.image or job.summary.build) if job.summary else "",
                (job.summary.command if job.summary else "")[:60],
            )
            for job in jobs
        ]
        for line in table(("JOB", "STATE", "IMAGE", "COMMAND"), rows):
            terminal.result(line)

    asyncio.run(work())


@app.command("show")
def show(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Show where a job is, its definition, and how it ended."""
    import msgspec

    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        result = await job.result(check=False) if job.verdict is not None else None
        value = {**job_value(job, result), "definition": msgspec.to_builtins(job.definition)}
        if json:
            terminal.value(value)
        else:
            for name, text in _facts(value):
                terminal.result(f"{name:>10}  {text}")
        return 0

    with_job(words, hub, work)


def _facts(value: dict[str, object]) -> list[tuple[str, str]]:
    """What people want to know of a job, in the order they ask."""
    from asman_shared.units import format_duration

    facts = [("job", str(value["id"])), ("url", str(value["url"])), ("state", str(value["state"]))]
    definition, verdict = value["definition"], value.get("verdict")
    facts += [(k, str(definition[k])) for k in ("image", "command") if isinstance(definition, dict) and k in definition]
    if isinstance(verdict, dict):
        facts.append(("reason", str(verdict["reason"])))
        facts += [(k, str(verdict[k])) for k in ("exit_code", "message", "hint") if verdict.get(k) not in (None, "")]
        facts.append(("took", format_duration(verdict.get("duration", 0))))
    if value.get("worker"):
        facts.append(("worker", str(value["worker"])))
    outputs = value.get("outputs")
    facts += [("output", name) for name in outputs] if isinstance(outputs, dict) else []
    return facts


@app.command("explain")
def explain(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Say why a job is where it is: what it waits for, what is being done, or how it ended."""
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


@app.command("wait")
def wait(words: JobWords, hub: o.HubOption = None, timeout: WaitTimeout = None, json: o.JsonOption = False) -> None:
    """Wait until a job is finished, and exit with its exit code."""
    from ..deadline import milliseconds
    from . import exits

    terminal = Terminal(json=json)
    seconds = milliseconds(timeout, field="timeout") / 1000 or None

    async def work(job: Job) -> int:
        verdict = await job.wait(seconds)
        if json:
            terminal.value(job_value(job))
        say_end(verdict, terminal)
        return exits.of_verdict(verdict)

    with_job(words, hub, work)


@app.command("result")
def result(
    words: JobWords,
    hub: o.HubOption = None,
    output: o.OutputOption = None,
    timeout: WaitTimeout = None,
    quiet: o.QuietOption = False,
) -> None:
    """Write a job's result as JSON when it is finished, and exit with its exit code."""
    from ..deadline import milliseconds

    seconds = milliseconds(timeout, field="timeout") / 1000 or None

    async def work(job: Job) -> int:
        found = await job.result(seconds, check=False)
        return await finish(job, found, Terminal(json=True, quiet=quiet), output=output)

    with_job(words, hub, work)


@app.command("outputs")
def outputs(
    words: JobWords,
    hub: o.HubOption = None,
    output: o.OutputOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Write this one to standard output.", show_default=False)
    ] = None,
    json: o.JsonOption = False,
) -> None:
    """List a finished job's outputs, save them all (-o), or write one to standard output (--name)."""
    from asman_shared.units import format_size

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
            rows = [(each.name, format_size(each.size), each.media_type) for each in found.outputs.values()]
            for line in table(("OUTPUT", "SIZE", "TYPE"), rows):
                terminal.result(line)
        return 0

    with_job(words, hub, work)


@app.command("cancel")
def cancel(
    words: JobWords,
    hub: o.HubOption = None,
    namespace: Annotated[str, typer.Option("--namespace", help="The slot to release; '*' for all.")] = "_",
    json: o.JsonOption = False,
) -> None:
    """Release a job; it is stopped when nobody else holds it."""
    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        released = await job.cancel(namespace)
        if json:
            terminal.value({**job_value(job), "released": released})
        else:
            terminal.note("cancelled" if released else "there was nothing to cancel")
        return 0

    with_job(words, hub, work)


@app.command("delete")
def delete(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Stop a job if it runs, and forget it and its result."""
    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        await job.delete()
        if json:
            terminal.value({"id": job.id, "deleted": True})
        else:
            terminal.note("deleted")
        return 0

    with_job(words, hub, work)


def with_job(words: list[str], hub: str | None, work: Callable[[Job], Awaitable[int]]) -> None:
    """Connects, finds the job that a command names, and exits with what is done with it."""
    from asman_shared.errors import BadRequest

    if len(words) > 2:
        raise BadRequest(f"'{words[2]}' is one word too many: a queue and a job are expected")
    queue, named = (None, words[0]) if len(words) == 1 else (words[0], words[1])

    async def all_of_it() -> int:
        async with o.open_queue(queue, hub) as opened:
            return await work(await o.find_job(opened, named))

    raise typer.Exit(asyncio.run(all_of_it()))
