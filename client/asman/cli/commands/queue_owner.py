"""``asman queue pause``, ``resume``, ``purge``, ``delete`` and ``drain``: what only a queue's own name allows."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from .. import exits
from .. import options as o
from ..terminal import Terminal
from .job_end import YesOption, confirm, jobs_words, need_terminal


def pause(queue: o.QueueArgument = None, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Give no jobs to workers until 'asman queue resume'. Jobs are still taken, and what runs goes on."""
    _set_paused(queue, hub, paused=True, json=json)


def resume(queue: o.QueueArgument = None, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Give jobs to workers again after 'asman queue pause'."""
    _set_paused(queue, hub, paused=False, json=json)


def _set_paused(queue: str | None, hub: str | None, *, paused: bool, json: bool) -> None:
    terminal = Terminal(json=json)

    async def work() -> Any:
        async with o.open_queue(queue, hub) as opened:
            return await opened.configure(paused=paused), opened.counts

    found, counts = asyncio.run(work())
    if json:
        terminal.value({"paused": found.paused})
        return
    waiting = jobs_words(counts.queued)
    terminal.note(f"paused: {waiting} waiting" if found.paused else "workers get jobs again")


def purge(
    queue: o.QueueArgument = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE|REASON",
            help="Queued, Finished, or a reason such as Failed; repeatable [Finished].",
        ),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Only jobs that were queued or finished that long ago: 7d.")
    ] = None,
    yes: YesOption = False,
    hub: o.HubOption = None,
    json: o.JsonOption = False,
) -> None:
    """Remove finished or waiting jobs with their results and logs. Jobs that run, or that are kept, stay."""
    terminal = Terminal(json=json)
    states = state or ["Finished"]
    older = f" and older than {older_than}" if older_than else ""
    confirm(f"remove all jobs of the queue that are {' or '.join(states)}{older}?", yes=yes)

    async def work() -> int:
        async with o.open_queue(queue, hub) as opened:
            return await opened.purge(states, older_than=older_than)

    count = asyncio.run(work())
    if json:
        terminal.value({"removed": count})
    else:
        terminal.note(f"removed {jobs_words(count)}")


def delete(
    queue: o.QueueArgument = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask whether the queue is meant.")] = False,
    hub: o.HubOption = None,
    json: o.JsonOption = False,
) -> None:
    """Delete a queue with its jobs, results, logs, settings and keys. What runs is stopped; there is no way back."""
    terminal = Terminal(json=json)

    async def look() -> tuple[int, int]:
        async with o.open_queue(queue, hub) as opened:
            counts = opened.counts
            return counts.queued + counts.running + counts.finished, counts.running

    async def work() -> Any:
        async with o.open_queue(queue, hub) as opened:
            return await opened.delete()

    if not yes:
        need_terminal("delete the queue with all its jobs and results?")
        jobs, running = asyncio.run(look())
        confirm(f"delete the queue with {jobs_words(jobs)}, {running} of them running, and all results?", yes=False)
    found = asyncio.run(work())
    if json:
        terminal.value({"jobs": found.jobs, "workers": found.workers})
        return
    workers = "1 worker was" if found.workers == 1 else f"{found.workers} workers were"
    terminal.note(f"deleted the queue and {jobs_words(found.jobs)}; {workers} disconnected")


def drain(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[QUEUE] WORKER", help="The worker's id or name, as 'asman queue status' shows them."),
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Let it take jobs again, if it is still here.")] = False,
    hub: o.HubOption = None,
    json: o.JsonOption = False,
) -> None:
    """Drain a worker: it gets no more jobs, and ends when it has none."""
    import msgspec

    from asman_shared.errors import BadRequest

    if len(words) > 2:
        raise exits.usage(BadRequest(f"unexpected argument '{words[2]}': name one worker"))
    queue, worker = (words[0], words[1]) if len(words) == 2 else (None, words[0])
    terminal = Terminal(json=json)

    async def work() -> Any:
        async with o.open_queue(queue, hub) as opened:
            return await opened.drain(worker, undo=undo)

    found = asyncio.run(work())
    if json:
        terminal.value([msgspec.to_builtins(each) for each in found])
        return
    for each in found:
        left = f"ends after {jobs_words(each.jobs)}" if each.jobs else "ends now"
        terminal.note(f"worker '{each.name or each.id}' {'takes jobs again' if undo else left}")
