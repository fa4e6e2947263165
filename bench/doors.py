"""Clients of TES that poll their tasks beside native ones: what the hub spends on them, and what natives wait.

A machine that is short of processors lets natives wait for the pollers as such. So a part of each round has the same
polls at another hub of the machine: what natives wait beyond that is due to the hub that they share.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bench.depth_hub import fill
from bench.dialect import share_of, traffic
from bench.measure import Report
from devtools.asman_processes import HubProcess

CLIENTS = 200
TASKS = 1000
PER_SECOND = 2.0
SECONDS = 15.0
ROUNDS = 3
QUEUED = 100
"""Jobs that wait in the queue of the native client."""
GOAL = "at most 1.3"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--clients", type=int, default=CLIENTS, help="how many clients of TES there are")
    parser.add_argument("--tasks", type=int, default=TASKS, help="how many tasks they poll together")
    parser.add_argument("--per-second", type=float, default=PER_SECOND, help="how often each task is polled")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each part is measured")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often natives alone and beside are measured")


async def _created(hub: HubProcess, tasks: int) -> list[str]:
    """Creates tasks, which wait: their queue has no worker."""
    made: list[str] = []
    body = {"executors": [{"image": "alpine", "command": ["true"]}]}
    async with aiohttp.ClientSession() as session:
        for number in range(tasks):
            data = io.BytesIO(json.dumps({**body, "name": f"task {number}"}).encode())
            async with session.post(f"{hub.queue('tasks')}/v1/tasks", data=data) as answer:
                answer.raise_for_status()
                made.append((await answer.json())["id"])
    return made


@asynccontextmanager
async def _polled(hub: HubProcess, tasks: list[str], wanted: argparse.Namespace) -> AsyncIterator[dict[str, Any]]:
    """Has the clients poll while the block lasts; what they have counted is there after it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.pollers"),
        *(hub.queue("tasks"), str(wanted.clients), str(wanted.per_second)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    counted: dict[str, Any] = {}
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(tasks).encode() + b"\n")
        assert await process.stdout.readline() == b"connected\n"
        begun = time.monotonic()
        yield counted
        process.stdin.write(b"\n")
        counted |= json.loads(await process.stdout.readline())
        counted["rate"] = counted["answers"] / (time.monotonic() - begun)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _spent(hub: HubProcess) -> float:
    times = psutil.Process(hub.pid).cpu_times()
    return float(times.user + times.system)


async def _measure(report: Report, wanted: argparse.Namespace) -> None:
    numbers = count(20_000_000)
    waits: dict[str, list[float]] = {"alone": [], "apart": [], "beside": []}
    spent: list[tuple[float, float]] = []
    polled: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="asman-bench-") as folder:
        places = [Path(folder) / name for name in ("hub", "other")]
        for place in places:
            place.mkdir()
        hub, other = map(HubProcess, places)
        try:
            await fill(hub.data, numbers, {"long": QUEUED})
            await asyncio.to_thread(hub.start)
            tasks = await _created(hub, wanted.tasks)
            for _ in range(wanted.rounds):
                before = _spent(hub)
                one = await traffic(hub, numbers, wanted.seconds)
                between = _spent(hub)
                await asyncio.to_thread(other.start)
                async with _polled(other, await _created(other, wanted.tasks), wanted):
                    apart = await traffic(hub, numbers, wanted.seconds)
                await asyncio.to_thread(other.kill)
                async with _polled(hub, tasks, wanted) as counted:
                    begun = _spent(hub)
                    beside = await traffic(hub, numbers, wanted.seconds)
                    after = _spent(hub)
                polled.append(counted)
                spent.append(((between - before) / wanted.seconds, (after - begun) / wanted.seconds))
                for name, found in (("alone", one), ("apart", apart), ("beside", beside)):
                    waits[name].append(share_of(found, 0.99))
        finally:
            await asyncio.to_thread(hub.kill)
            await asyncio.to_thread(other.kill)
    alone, away, near = waits["alone"], waits["apart"], waits["beside"]
    report.add("native submit to accepted, p99, alone", "ms", alone)
    report.add("the same beside the polls of another hub", "ms", away)
    report.add("the same beside the polls of its own hub", "ms", near)
    report.add("own hub by alone", "", [each / base for each, base in zip(near, alone, strict=True)], GOAL)
    report.add("own hub by another hub", "", [each / base for each, base in zip(near, away, strict=True)])
    report.add("answers to polls", "1/s", [each["rate"] for each in polled])
    report.add("longest answer to a poll", "ms", [each["longest"] for each in polled])
    report.add("processor time of the hub, natives alone", "% of a core", [100 * each for each, _ in spent])
    report.add("processor time of the hub, with the polls", "% of a core", [100 * each for _, each in spent])
    each_poll = [1e6 * (both - one) / counted["rate"] for (one, both), counted in zip(spent, polled, strict=True)]
    report.add("processor time of the hub for a poll", "µs", each_poll)


def run(wanted: argparse.Namespace) -> Report:
    """Measures it."""
    report = Report("doors")
    asyncio.run(_measure(report, wanted))
    report.notes += [
        f"One hub, SQLite, every commit synced. {wanted.clients} clients of TES in a process of their own poll"
        f" {wanted.tasks:,} waiting tasks {wanted.per_second:g} times a second each, in the view MINIMAL."
        f" One native client submits about 50 jobs a second to another queue. {wanted.rounds} rounds of"
        f" {wanted.seconds:g} s alone, beside the polls of another hub, and beside those of its own.",
    ]
    return report
