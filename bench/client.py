"""What a script pays: 100,000 jobs through one connection, a hub that is killed among them, and calls of functions."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asman
from bench import client_calls, client_run, client_start
from bench.measure import Report
from bench.peak import Peak
from devtools.asman_processes import HubProcess


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many of each."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs that are submitted [100000]")
    parser.add_argument("--runs", type=int, default=100_000, help="jobs that are run to their end [100000]")
    parser.add_argument("--calls", type=int, default=10_000, help="calls of a function [10000]")
    parser.add_argument("--window", type=int, default=1000, help="jobs in flight [1000]")


def _items(count: int, of: str) -> Iterator[dict[str, Any]]:
    return ({"image": "alpine", "command": ["./simulate", of, str(i)]} for i in range(count))


async def _submit(hub: HubProcess, jobs: int, window: int, kill: bool) -> tuple[float, Peak, int]:
    """Submits all; returns the seconds, the memory, and how many jobs the queue then has."""
    name = "killed" if kill else "plain"
    async with asman.connect(hub.queue(name)) as queue:
        peak = Peak()
        begun = time.perf_counter()
        given = 0
        async for _ in queue.submit_many(_items(jobs, name), window=window, follow=False):
            given += 1
            if kill and given == jobs // 2:
                await asyncio.to_thread(hub.restart)
        took = time.perf_counter() - begun
        assert given == jobs
        peak.end()
        return took, peak, len({job.id async for job in queue.jobs()})


def run(wanted: argparse.Namespace) -> Report:
    """Measures."""
    report = Report("client")
    report.notes.append("the hub stores each job durably (SQLite, every commit synced) before a submit is answered")
    with tempfile.TemporaryDirectory() as folder:
        hub = HubProcess(Path(folder), "--grace", "1s")
        hub.start()
        try:
            client_run.measure(report, hub, wanted.runs, wanted.window)
            for kill in (False, True):
                said = ", hub killed (kill -9) in the middle" if kill else ""
                took, peak, there = asyncio.run(_submit(hub, wanted.jobs, wanted.window, kill))
                report.add(f"submit_many of {wanted.jobs:,}{said}", "s", [took])
                report.add(f"… jobs a second{said}", "jobs/s", [wanted.jobs / took])
                report.add(f"… jobs that the queue then has{said}", "jobs", [there], f"{wanted.jobs}: each once")
                peak.add(report, said)
        finally:
            hub.terminate()
    client_calls.measure(report, wanted.calls)
    client_start.measure(report)
    return report
