"""A script that runs 100,000 jobs to their end, with a hub that is killed in the middle, and what that costs it.

Run as a program, this is the worker: it finishes every job at once, and dials again when the hub is gone.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.typing import Subprotocol

import asman
from bench.measure import Report
from bench.peak import Peak
from devtools.asman_processes import HubProcess

CPUS = 200
"""Jobs that the worker takes at a time."""


async def work(queue: str) -> None:
    """Finishes every job of a queue at once, until it is killed."""
    address = f"{queue}/worker".replace("http", "ws", 1)
    register = {"type": "register", "incarnation": secrets.token_hex(8), "name": "quick", "cpus": CPUS}
    outcome = {"kind": "exited", "exit_code": 0}
    while True:
        try:
            async with connect(address, subprotocols=[Subprotocol("asman.v1.msgpack")], compression=None) as socket:
                await socket.send(msgpack.packb([register]))
                async for frame in socket:
                    assert isinstance(frame, bytes)
                    assigned = [each for each in msgpack.unpackb(frame) if each["type"] == "assign"]
                    said = [
                        {"type": "finished", "job": each["job"], "attempt": each["attempt"], "outcome": outcome}
                        for each in assigned
                    ]
                    if said:
                        await socket.send(msgpack.packb(said))
        except (OSError, EOFError, InvalidHandshake, WebSocketException):
            await asyncio.sleep(0.1)


@contextmanager
def _worker(queue: str) -> Iterator[None]:
    worker = subprocess.Popen([sys.executable, "-m", "bench.client_run", queue])
    try:
        yield
    finally:
        worker.kill()
        worker.wait()


def _items(jobs: int) -> Iterator[dict[str, Any]]:
    return ({"image": "alpine", "command": ["./simulate", "run", str(number)]} for number in range(jobs))


async def _run(hub: HubProcess, queue_url: str, jobs: int, window: int) -> tuple[float, float, Peak]:
    """Runs all; returns the seconds, the seconds of processor time, and the memory."""
    ended = bytearray(jobs)
    async with asman.connect(queue_url) as queue:
        peak, begun, busy = Peak(), time.perf_counter(), time.process_time()
        given = 0
        async for job in queue.run_many(_items(jobs), window=window):
            assert job.verdict is not None
            assert job.verdict.ok, job.verdict
            number = int(str((job.definition.command or [])[-1]))
            assert not ended[number], "a job was given twice"
            ended[number] = 1
            given += 1
            if given == jobs // 2:
                await asyncio.to_thread(hub.restart)
        took, busy = time.perf_counter() - begun, time.process_time() - busy
        assert given == sum(ended) == jobs
        return took, busy, peak.end()


async def _finished(queue_url: str) -> int:
    async with asman.connect(queue_url) as queue:
        return queue.counts.finished


def measure(report: Report, hub: HubProcess, jobs: int, window: int) -> None:
    """Adds the figures."""
    queue = hub.queue("run")
    with _worker(queue):
        took, busy, peak = asyncio.run(_run(hub, queue, jobs, window))
    said = f"run_many of {jobs:,} to their end, hub killed (kill -9) in the middle"
    report.add(said, "s", [took])
    report.add("… jobs that finished, each given once", "jobs", [jobs], f"{jobs:,}; the script says so or ends here")
    report.add("… jobs that the queue says are finished", "jobs", [asyncio.run(_finished(queue))], f"{jobs:,}")
    report.add("… processor time of the script for each", "µs", [1e6 * busy / jobs])
    peak.add(report)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
