"""``asman queue watch``: a live view of a queue on a terminal; one line for each change elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from asman_shared.terminal import safe_text

from .. import options as o
from ..terminal import Terminal

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from asman_shared.messages import JobState, WorkerState

    from ...changes import Change
    from ..watch_model import WatchModel

FRAME_SECONDS: Final = 0.25
"""Time between two pictures of the live view, in seconds."""
_BARS: Final = " ▁▂▃▄▅▆▇█"
"""Bars of `sparks`, from empty to full."""
_STYLES: Final = {"Success": "green", "Running": "cyan", "Queued": "dim", "Cancelled": "yellow", "Replaced": "yellow"}
"""Styles by reason or state; all others are red."""


def watch(queue: o.QueueArgument = None, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Show a queue live: its jobs, its workers and its throughput, until Ctrl-C.

    On a terminal this is a live view. Elsewhere, each change is a line of text, or with --json an object.
    """
    terminal = Terminal(json=json)
    live = sys.stdout.isatty() and not json

    async def work() -> None:
        async with o.open_queue(queue, hub) as opened:
            # Programs read the lines and want every job; the view shows only the jobs that fit.
            changes = opened.changes(recent=500 if live else None)
            if live:
                await _view(changes, opened.address.host)
                return
            async for change in changes:
                terminal.result(line_of(change, json=json))

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        return


def line_of(change: Change, *, json: bool) -> str:
    """Formats a change as a line."""
    import json as json_module

    import msgspec

    kind = type(change).__name__
    if json:
        name = {"JobState": "job", "WorkerState": "worker", "Counts": "counts"}[kind]
        return safe_text.json(json_module.dumps({"kind": name, name: msgspec.to_builtins(change)}, ensure_ascii=False))
    value: Any = change
    if kind == "JobState":
        return f"job     {value.id[:12]}  {state_of(value)}"
    if kind == "WorkerState":
        return f"worker  {value.id[:12]}  {value.state}  {value.jobs} jobs"
    return f"counts  {value.queued} queued, {value.running} running, {value.finished} finished, {value.workers} workers"


def state_of(job: JobState) -> str:
    """Describes a job's state in a word."""
    if job.verdict is not None:
        code = job.verdict.exit_code
        return job.verdict.reason.value + (f" ({code})" if job.verdict.reason.value == "Failed" else "")
    return (job.phase or job.state).value


async def _view(changes: Any, host: str) -> None:
    from rich.console import Console
    from rich.live import Live

    from ..watch_model import WatchModel

    console = Console()
    model = WatchModel(time.monotonic(), time.time_ns() // 1_000_000)

    async def read() -> None:
        async for change in changes:
            model.apply(change, time.monotonic())

    reading = asyncio.create_task(read())
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not reading.done():
                live.update(picture(model, host, time.monotonic(), console.width, console.height), refresh=True)
                await asyncio.wait([reading], timeout=FRAME_SECONDS)
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    if not reading.cancelled():
        reading.result()


def picture(model: WatchModel, host: str, now: float, width: int, height: int) -> Group:
    """Draws the whole view, for a terminal of this many columns and lines."""
    from rich.console import Group
    from rich.text import Text

    counts = model.counts
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(f"queue on {host}", style="bold")
    head.append(f"   {counts.queued:,} queued · {counts.running:,} running · {counts.finished:,} finished")
    rate = Text(f"{model.rate(now):.1f} jobs/s ", no_wrap=True, overflow="crop")
    rate.append(sparks(model.per_second(now)), style="cyan")
    rate.append(f"  {model.done:,} since you started watching", style="dim")
    workers = list(model.workers.values())
    of_workers = max(1, min(len(workers), height // 4))
    lines = max(1, height - of_workers - 7)
    return Group(
        head,
        rate,
        Text(""),
        _workers(workers[:of_workers], len(workers), model.busy()),
        Text(""),
        _jobs(model.shown(lines), width),
    )


def sparks(counts: list[int]) -> str:
    """Draws counts as small bars; the largest count is a full bar."""
    most = max([1, *counts])
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts)


def _workers(workers: list[WorkerState], all_of_them: int, busy: dict[str, tuple[int, float, int]]) -> Table:
    from rich.text import Text

    more = f" ({all_of_them - len(workers)} more)" if all_of_them > len(workers) else ""
    table = _table(f"WORKERS{more}", "STATE", "JOBS", "CPUS", "GPUS", "PLATFORM", "EXECUTOR")
    names = [each.name or each.id for each in workers]
    for each in workers:
        # Changes of workers report that they connect or leave. Their load is known from their jobs, which name them.
        known = names.count(each.name or each.id) == 1
        jobs, cpus, gpus = busy.get(each.name or each.id, (0, 0.0, 0))
        table.add_row(
            Text(safe_text.word(each.name or each.id)),
            Text(safe_text.word(each.state), style="green" if each.state == "ready" else "yellow"),
            str(jobs) if known else "",
            f"{cpus:g}/{each.cpus:g}" if known else f"{each.cpus:g}",
            f"{gpus}/{each.gpus}" if known else f"{each.gpus}",
            Text(safe_text.word(each.platform)),
            Text(safe_text.word(each.executor)),
        )
    if not workers:
        table.add_row(Text("none: jobs are waiting", style="yellow"))
    return table


def _jobs(jobs: list[JobState], width: int) -> Table:
    from rich.text import Text

    from asman_shared.units import format_duration

    table = _table("JOB", "STATE", "TOOK", "IMAGE", "COMMAND")
    now = time.time_ns() // 1_000_000
    for job in jobs:
        style = _STYLES.get(job.verdict.reason.value if job.verdict else job.state.value, "red")
        took = (job.finished or now) - job.started if job.started else 0
        summary = job.summary
        # Text instead of markup, because a command may contain brackets.
        table.add_row(
            job.id[:12],
            Text(state_of(job), style=style),
            format_duration(max(0, took)) if took else "",
            Text(safe_text.word(summary.image or summary.build if summary else "")),
            Text(safe_text.word((summary.command if summary else "")[:width])),
        )
    return table


def _table(*titles: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, expand=False, header_style="bold dim")
    for title in titles:
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    return table
