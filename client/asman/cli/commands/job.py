"""``asman job …``: commands for one job that exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as o
from ..follow import finish, save, say_end, say_skipped
from ..json_values import job_value, outputs_value
from ..named_job import JobWords, with_job
from ..terminal import Terminal, table

if TYPE_CHECKING:
    from ...job import Job

WaitTimeout = Annotated[
    str | None, typer.Option("--timeout", help="Maximum time to wait: 90s, 20m.", show_default=False)
]


def show(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Show a job's state, its definition, and how it ended."""
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
    """Lists the facts about a job for people, the most important ones first."""
    from asman_shared.units import format_duration

    facts = [("job", str(value["id"])), ("url", str(value["url"])), ("state", str(value["state"]))]
    definition, verdict = value.get("definition"), value.get("verdict")
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
    seconds = milliseconds(timeout, field="timeout") / 1000 or None

    async def work(job: Job) -> int:
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

    o.check_output(output)
    seconds = milliseconds(timeout, field="timeout") / 1000 or None
    terminal = Terminal(json=json, quiet=quiet)

    async def work(job: Job) -> int:
        found = await job.result(seconds, check=False)
        if not json:
            for name, text in _facts(job_value(job, found)):
                terminal.result(f"{name:>10}  {text}")
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
    from asman_shared.units import format_size

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
            rows = [(each.name, format_size(each.size), each.media_type) for each in found.outputs.values()]
            for line in table(("OUTPUT", "SIZE", "TYPE"), rows):
                terminal.result(line)
        say_skipped(found, terminal)
        return 0

    with_job(words, hub, work)


def cancel(
    words: JobWords,
    hub: o.HubOption = None,
    namespace: Annotated[str, typer.Option("--namespace", help="The slot to release; '*' for all.")] = "_",
    json: o.JsonOption = False,
) -> None:
    """Cancel a job; it keeps running if somebody else submitted it too."""
    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        released = await job.cancel(namespace)
        if json:
            terminal.value({**job_value(job), "released": released})
        else:
            terminal.note("cancelled" if released else "there was nothing to cancel")
        return 0

    with_job(words, hub, work)


def delete(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Stop a job if it is running, and delete it and its result."""
    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        await job.delete()
        if json:
            terminal.value({"id": job.id, "deleted": True})
        else:
            terminal.note("deleted")
        return 0

    with_job(words, hub, work)
