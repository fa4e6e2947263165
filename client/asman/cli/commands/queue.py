"""``asman queue …``: commands that create and inspect queues."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options as o
from ..terminal import Terminal, table

if TYPE_CHECKING:
    from asman_shared.messages import WorkerState


def new(
    hub: Annotated[
        str, typer.Option("--hub", envvar="ASMAN_HUB", help="The hub for the queue.")
    ] = "http://localhost:8000",
    called: Annotated[
        str,
        typer.Option("--as", metavar="NAME", help="Your name for it: @NAME stands for its URL.", show_default=False),
    ] = "",
    json: o.JsonOption = False,
) -> None:
    """Create an unguessable name for a queue; the hub creates the queue when it is first used."""
    from ...address import Address, new_queue_name, parse_hub
    from .. import known

    if called:
        known.check_name(called)
    address = Address(parse_hub(hub), new_queue_name())
    known.remember(address.url, called)
    terminal = Terminal(json=json)
    worker = f"asman worker {address.url}"
    if json:
        terminal.value({"queue": address.queue, "url": address.url, "page": address.page, "worker": worker})
        return
    terminal.result(address.url)
    terminal.note(f"\nanyone who has this URL can use the queue. Share a machine:\n\n  {worker}\n")
    terminal.note(f"run something:\n\n  asman run {f'@{called}' if called else address.url} -- echo hello\n")
    terminal.note(f"watch it:\n\n  {address.page}")


def list_queues(
    forget: Annotated[
        str | None,
        typer.Option("--forget", metavar="QUEUE", help="Remove this queue from the list.", show_default=False),
    ] = None,
    json: o.JsonOption = False,
) -> None:
    """List the queues that you have used on this machine, the latest first; their URLs are secrets."""
    from datetime import UTC, datetime

    from asman_shared.errors import NotFound

    from .. import known

    terminal = Terminal(json=json)
    if forget is not None and not known.forget(o.find_queue(forget, None).url):
        raise NotFound("that queue is not in your list")
    queues = known.known_queues()
    if json:
        terminal.value([{"url": each["url"], "name": each["name"], "used": each["used"]} for each in queues])
        return
    rows = [
        (
            f"@{each['name']}" if each["name"] else "",
            datetime.fromtimestamp(each["used"] / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M"),
            each["url"],
        )
        for each in queues
    ]
    for line in table(("NAME", "USED", "URL"), rows):
        terminal.result(line)


def status(queue: o.QueueArgument = None, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Show a queue's job counts and its workers."""
    import msgspec

    terminal = Terminal(json=json)

    async def work() -> tuple[dict[str, Any], list[WorkerState]]:
        async with o.open_queue(queue, hub) as opened:
            workers = await opened.workers()
            return {"url": opened.url, **_counts(msgspec.structs.asdict(opened.counts))}, workers

    counts, workers = asyncio.run(work())
    if json:
        terminal.value({**counts, "workers": [msgspec.to_builtins(worker) for worker in workers]})
        return
    terminal.result(f"{counts['queued']} queued, {counts['running']} running, {counts['finished']} finished")
    for line in table(("WORKER", "STATE", "JOBS", "CPUS", "GPUS", "PLATFORM", "EXECUTOR"), [_row(w) for w in workers]):
        terminal.result(line)


def retention(
    queue: o.QueueArgument = None,
    set_to: Annotated[
        str | None, typer.Option("--set", help="New retention time: 30d, 12h; 'default' for the hub's setting.")
    ] = None,
    hub: o.HubOption = None,
    json: o.JsonOption = False,
) -> None:
    """Show or set how long a queue keeps its finished jobs, with their results and logs."""
    from asman_shared.units import format_duration

    terminal = Terminal(json=json)

    async def work() -> Any:
        async with o.open_queue(queue, hub) as opened:
            return await opened.configure(retention=0 if set_to == "default" else set_to)

    found = asyncio.run(work())
    if json:
        terminal.value({"retention": found.retention, "own": found.own})
        return
    source = "set for this queue" if found.own else "the hub's setting"
    terminal.result(f"{format_duration(found.retention)} ({source})")


def _counts(counts: dict[str, Any]) -> dict[str, Any]:
    return {name: counts[name] for name in ("queued", "running", "finished")}


def _row(worker: WorkerState) -> tuple[str, ...]:
    return (
        worker.name or worker.id,
        worker.state,
        str(worker.jobs),
        f"{worker.used_cpus:g}/{worker.cpus:g}",
        f"{worker.used_gpus}/{worker.gpus}",
        worker.platform,
        worker.executor,
    )
