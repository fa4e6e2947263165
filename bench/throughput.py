"""Throughput: small durable jobs through one hub, with one client and one worker that finishes them at once."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import psutil
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.measure import Report
from tests.support.processes import HubProcess

CONCURRENT = 100
"""Jobs that the worker takes at a time."""
WINDOW = 2000
"""Jobs of the client that are not finished."""
IN_FRAME = 500
"""Jobs that the client submits in one frame."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs of one run [20000]")
    parser.add_argument("--runs", type=int, default=5, help="how often [5]")


@asynccontextmanager
async def _dialled(address: str, first: dict[str, Any]) -> AsyncIterator[ClientConnection]:
    protocol = Subprotocol("asman.v1.msgpack")
    async with connect(address, subprotocols=[protocol], compression=None, max_size=None, ping_interval=None) as made:
        await made.send(msgpack.packb([first]))
        yield made


async def _heard(socket: ClientConnection) -> list[dict[str, Any]]:
    frame = await socket.recv()
    assert isinstance(frame, bytes)
    found: list[dict[str, Any]] = msgpack.unpackb(frame)
    return found


async def work(queue: str) -> None:
    """Finishes every job of a queue at once, until it is killed."""
    registration = {"type": "register", "incarnation": "bench-throughput", "name": "w", "cpus": CONCURRENT}
    outcome = {"kind": "exited", "exit_code": 0}
    async with _dialled(f"{queue}/worker".replace("http", "ws", 1), registration) as socket:
        while True:
            about = [m for m in await _heard(socket) if m["type"] == "assign"]
            ended = [{"type": "finished", "job": a["job"], "attempt": a["attempt"], "outcome": outcome} for a in about]
            if ended:
                await socket.send(msgpack.packb(ended))


def _submits(first: int, count: int, run: int) -> bytes:
    definitions = ({"image": "a", "command": ["echo", f"{run}-{n}"]} for n in range(first, first + count))
    return bytes(msgpack.packb([{"type": "submit", "ref": 0, "definition": each} for each in definitions]))


async def _run(queue: str, jobs: int, run: int) -> float:
    """Submits all, never more than a window ahead; returns the seconds until the last one is known to be finished."""
    async with _dialled(f"{queue}/client".replace("http", "ws", 1), {"type": "hello"}) as socket:
        begun = time.perf_counter()
        submitted = finished = 0
        while finished < jobs:
            while submitted < jobs and submitted - finished <= WINDOW - IN_FRAME:
                count = min(IN_FRAME, jobs - submitted)
                await socket.send(_submits(submitted, count, run))
                submitted += count
            for message in await _heard(socket):
                if message["type"] == "error":
                    raise RuntimeError(message["message"])
                if message["type"] == "changed" and message["job"]["state"] == "Finished":
                    finished += 1
        return time.perf_counter() - begun


def run(wanted: argparse.Namespace) -> Report:
    """Measures it again and again on one hub."""
    report = Report("throughput")
    rates: list[float] = []
    costs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        hub = HubProcess(Path(folder))
        hub.start()
        queue = hub.queue("throughput")
        worker = subprocess.Popen([sys.executable, "-m", "bench.throughput", queue])
        try:
            uvloop.run(_run(queue, 1000, -1))
            process = psutil.Process(hub.pid)
            for number in range(wanted.runs):
                before = sum(process.cpu_times()[:2])
                rates.append(wanted.jobs / uvloop.run(_run(queue, wanted.jobs, number)))
                costs.append(1e6 * (sum(process.cpu_times()[:2]) - before) / wanted.jobs)
        finally:
            worker.kill()
            worker.wait()
            hub.kill()
    report.add("jobs, from submit to a durable result that the client knows", "jobs/s", rates, "20,000")
    report.add("processor time of the hub for each", "µs", costs)
    report.notes += [
        f"{wanted.jobs:,} jobs a run, {WINDOW:,} on their way at a time; the worker takes {CONCURRENT} at a time.",
        "One hub process on SQLite, every commit synced (synchronous=FULL); client and worker share its two cores.",
    ]
    return report


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
