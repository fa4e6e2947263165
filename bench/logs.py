"""Logs: a million lines from one job, to a follower, to a late reader and to the command line; and the hub's memory."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

import asman
from asman_shared.definition import Definition
from asman_shared.identity import job_id
from asman_shared.messages import LogBatch, LogLine
from bench.depth_hub import dialled, registration
from bench.measure import Report, rss
from devtools.asman_processes import HubProcess, asman_command, clean_environment

BATCH = 1000
WATCH_SECONDS = 0.1
PIECES = ("tail=20", "grep=999999$", "around=first_error", "head=20")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--lines", type=int, default=1_000_000, help="how many lines the job writes")
    parser.add_argument("--length", type=int, default=60, help="characters of a line")


def _batches(job: str, lines: int, length: int) -> Iterator[bytes]:
    """Frames of a worker, one batch in each."""
    filler = "x" * max(0, length - 15)
    for first in range(0, lines, BATCH):
        made = [
            LogLine(seq, 1_700_000_000_000 + seq, 0, f"line {seq:>9} {filler}")
            for seq in range(first, min(first + BATCH, lines))
        ]
        yield msgspec.msgpack.encode([LogBatch(job, 1, made)])


async def _follow(hub: HubProcess, job: str, lines: int, ready: asyncio.Event) -> float:
    """Reads the whole log as it comes; returns when the last line was there."""
    async with asman.connect(hub.queue("logs")) as queue:
        followed = await queue.get(job)
        following = 0
        ready.set()
        async for line in followed.logs():
            assert (line.seq, line.missing) == (following, 0), line
            following += 1
        assert following == lines
    return time.monotonic()


async def _watch(pid: int, highest: list[int]) -> None:
    while True:
        highest[0] = max(highest[0], rss(pid))
        await asyncio.sleep(WATCH_SECONDS)


def _command(hub: HubProcess, job: str, *options: str) -> subprocess.Popen[bytes]:
    command = [*asman_command(), "job", "logs", hub.queue("logs"), job, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment())


def _count(command: subprocess.Popen[bytes], lines: int) -> float:
    """Reads all that a command prints; returns when it ended."""
    assert command.stdout is not None
    seen = 0
    while chunk := command.stdout.read1(1 << 20):  # type: ignore[attr-defined]
        seen += chunk.count(b"\n")
    assert command.wait() == 0
    assert seen == lines, f"{seen} of {lines} lines"
    return time.monotonic()


async def _measure(report: Report, lines: int, length: int) -> None:
    definition = Definition(image="alpine", command="a million lines")
    job = job_id(definition)
    with tempfile.TemporaryDirectory(prefix="asman-bench-") as folder:
        hub = HubProcess(Path(folder), "--log-limit", "1GiB")
        await asyncio.to_thread(hub.start)
        try:
            await _live(report, hub, job, definition, lines, length)
            await _late(report, hub, job, lines)
        finally:
            await asyncio.to_thread(hub.kill)


async def _live(report: Report, hub: HubProcess, job: str, definition: Definition, lines: int, length: int) -> None:
    async with (
        dialled(hub, "logs", "client", type="hello") as client,
        dialled(hub, "logs", "worker", **registration("logs")) as worker,
    ):
        await client.say({"type": "submit", "ref": 1, "definition": msgspec.to_builtins(definition)})
        await worker.next("assign")
        ready = asyncio.Event()
        following = asyncio.create_task(_follow(hub, job, lines, ready))
        command = _command(hub, job, "--follow")
        counting = asyncio.create_task(asyncio.to_thread(_count, command, lines))
        await ready.wait()
        idle = rss(hub.pid)
        highest = [idle]
        watching = asyncio.create_task(_watch(hub.pid, highest))
        made = list(_batches(job, lines, length))
        begun = time.monotonic()
        for frame in made:
            await worker.send(frame)
        about: dict[str, Any] = {"job": job, "attempt": 1}
        outcome = {"kind": "exited", "exit_code": 0, "lines": lines}
        await worker.say({"type": "finished", "outcome": outcome, **about})
        await worker.next("acknowledged")
        durable = time.monotonic() - begun
        followed, printed = await following - begun, await counting - begun
        watching.cancel()
    report.add("taken in and durable, while two follow", "lines/s", [lines / durable])
    report.add("read by a follower that was there, in order and whole", "lines/s", [lines / followed])
    report.add("printed by 'asman job logs --follow' from its start", "lines/s", [lines / printed])
    report.add("the follower's last line after the hub had the job's end", "s", [followed - durable])
    report.add("hub: memory before", "MiB", [idle / 2**20])
    report.add("hub: memory at its highest", "MiB", [highest[0] / 2**20])


async def _late(report: Report, hub: HubProcess, job: str, lines: int) -> None:
    highest = [rss(hub.pid)]
    watching = asyncio.create_task(_watch(hub.pid, highest))
    begun = time.monotonic()
    late = await _follow(hub, job, lines, asyncio.Event()) - begun
    report.add("read by one that came late", "lines/s", [lines / late])
    begun = time.monotonic()
    printed = await asyncio.to_thread(_count, _command(hub, job), lines) - begun
    report.add("printed by 'asman job logs', late", "lines/s", [lines / printed])
    async with aiohttp.ClientSession() as session:
        address = f"{hub.queue('logs')}/jobs/{job}/log"
        begun = time.monotonic()
        seen = 0
        async with session.get(address, headers={"Accept": "text/plain"}) as response:
            async for chunk in response.content.iter_any():
                seen += chunk.count(b"\n")
        assert seen == lines, seen
        report.add("read as text over HTTP, late", "lines/s", [lines / (time.monotonic() - begun)])
        for piece in PIECES:
            begun = time.monotonic()
            answers, query = 0, piece
            while query:
                async with session.get(f"{address}?{query}") as response:
                    body = await response.json()
                    assert response.status == 200, body
                query = body.get("more", "")
                answers += 1
            name = f"{piece} of all of it, in {answers} answer{'s' if answers > 1 else ''}"
            report.add(name, "ms", [(time.monotonic() - begun) * 1000])
    watching.cancel()
    report.add("hub: memory at its highest meanwhile", "MiB", [highest[0] / 2**20])


def run(wanted: argparse.Namespace) -> Report:
    """Measures all of it."""
    report = Report("logs")
    asyncio.run(_measure(report, wanted.lines, wanted.length))
    report.notes.append(
        f"{wanted.lines:,} lines of {wanted.length} characters from one job; hub on SQLite (synchronous=FULL, "
        "--log-limit 1GiB); worker, follower and command share the cores with it."
    )
    return report
