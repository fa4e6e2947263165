"""``asman queue …``: commands that create and inspect queues."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options as o
from ..given import LOCAL_HUB
from ..terminal import Terminal, table

if TYPE_CHECKING:
    from asman_shared.messages import WorkerState


def new(
    hub: Annotated[
        str | None,
        typer.Option(
            "--hub",
            envvar="ASMAN_HUB",
            help="The hub for the queue. Default: the hub of $ASMAN_QUEUE, or http://localhost:8000.",
            show_default=False,
        ),
    ] = None,
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
    if not hub:
        hub = o.find_queue(None, None).hub if os.environ.get(o.QUEUE_VARIABLE) else LOCAL_HUB
    address = Address(parse_hub(hub), new_queue_name())
    before = _named_before(called)
    known.remember(address.url, called)
    terminal = Terminal(json=json)
    if before:
        terminal.note(f"another queue had the name @{called} before: {before}")
    worker = o.with_queue(address.url, "asman worker")
    if json:
        terminal.value({"queue": address.queue, "url": address.url, "page": address.page, "worker": worker})
        return
    terminal.result(address.url)
    terminal.note(f"\nanyone who has this URL can use the queue. Share a machine:\n\n  {worker}\n")
    # Most workers run containers, and most hubs name no image.
    words = "-i alpine -- echo hello"
    run = f"asman run @{called} {words}" if called else o.with_queue(address.url, f"asman run {words}")
    terminal.note(f"run something:\n\n  {run}\n")
    terminal.note(f"watch it:\n\n  {address.page}")


def add(
    queue: Annotated[str, typer.Argument(metavar="URL", help="The queue's URL, or its name with --hub.")],
    called: Annotated[str, typer.Option("--as", metavar="NAME", help="Your name for it: @NAME stands for its URL.")],
    hub: o.HubOption = None,
    json: o.JsonOption = False,
) -> None:
    """Give a queue's URL, or that of a key to it, a short name of your own; it stays on this machine.

    A queue of yours that had the name loses it.
    """
    from .. import known

    known.check_name(called)
    address = o.find_queue(queue, hub)
    before = _named_before(called)
    known.remember(address.url, called)
    terminal = Terminal(json=json)
    if json:
        terminal.value(next(each for each in known.known_queues() if each["url"] == address.url))
        return
    terminal.note(f"@{called} is a queue on {address.host}")
    if before and before != address.url:
        terminal.note(f"another queue had this name before: {before}")


def _named_before(called: str) -> str:
    """Returns the URL of the queue that has one of this user's names; empty if none has it."""
    from .. import known

    return next((str(each["url"]) for each in known.known_queues() if called and each["name"] == called), "")


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
    if counts["paused"]:
        terminal.note("the queue is paused: 'asman queue resume' gives jobs to workers again")
    terminal.result(f"{counts['queued']} queued, {counts['running']} running, {counts['finished']} finished")
    for line in table(("WORKER", "STATE", "JOBS", "CPUS", "GPUS", "PLATFORM", "EXECUTOR"), [_row(w) for w in workers]):
        terminal.result(line)
    for worker in workers:
        if remark := _remark(worker):
            terminal.note(f"worker '{worker.name or worker.id}': {remark}")
    if not workers and not any(counts[name] for name in ("queued", "running", "finished")):
        terminal.note(o.NOBODY_HERE)


def keys(queue: o.QueueArgument = None, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Print URLs of a queue that grant less than its own: to read, to submit, to work, to submit and read.

    They are derived from the queue's name. Each stands wherever the queue's URL does, and the name can't be found out
    from it. The hub is told to know them; if it can't be reached now, they work from the queue's first job on.
    """
    from asman_shared.keys.derived import key_addresses

    terminal = Terminal(json=json)
    address = o.find_queue(queue, hub)
    made = {kind.replace("+", "_"): each.url for kind, each in key_addresses(address).items()}
    if json:
        terminal.value(made)
    else:
        for line in table(("GRANTS", "URL"), [(_GRANTS[kind], url) for kind, url in made.items()]):
            terminal.result(line)
    if why := asyncio.run(_make_known(address.url)):
        terminal.note(f"they work from the queue's first job on, because the hub can't be told of them now: {why}")


async def _make_known(url: str) -> str:
    """Has the hub store the keys to a queue, as it does with the queue's first setting; returns why it could not."""
    from asman_shared.errors import AsmanError

    from ...client import connect

    try:
        async with asyncio.timeout(_KNOWN_SECONDS), connect(url) as opened:
            if not (await opened.configure()).own:  # the hub's own setting stays as it is
                await opened.configure(retention=0)
    except TimeoutError:
        return f"it did not answer within {_KNOWN_SECONDS:g} seconds"
    except AsmanError as error:
        return error.message
    return ""


_KNOWN_SECONDS = 10.0
"""Time in which a hub must store the keys to a queue, in seconds."""
_GRANTS = {"read": "read", "submit": "submit", "work": "work", "submit_read": "submit and read"}
"""Names of the keys for people."""


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
    return {name: counts[name] for name in ("queued", "running", "finished", "paused")}


def _remark(worker: WorkerState) -> str:
    """Returns what a worker remarks about its machine; earlier workers do so behind the name of their program."""
    program, _, remark = worker.agent.partition(" (")
    return worker.remark or (remark.removesuffix(")") if program else "")


def _row(worker: WorkerState) -> tuple[str, ...]:
    if not worker.executor:  # it has not come back since the hub started
        return worker.name or worker.id, worker.state, str(worker.jobs), "?", "?", "?", "?"
    return (
        worker.name or worker.id,
        worker.state,
        str(worker.jobs),
        f"{worker.used_cpus:g}/{worker.cpus:g}",
        f"{worker.used_gpus}/{worker.gpus}",
        worker.platform,
        worker.executor,
    )
