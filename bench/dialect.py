"""Clients of the JSON dialect beside native ones on a long queue: bytes sent to each kind, and what natives wait."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.depth_hub import dialled, fill, registration, submit
from bench.measure import Report, rss
from devtools.asman_processes import HubProcess

CLIENTS = 20
SECONDS = 20.0
PAUSE = 0.02
"""Seconds between two jobs that are finished and two that are submitted: about 50 jobs a second."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--jobs", type=int, default=10_000, help="how many jobs wait in the queue")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="how many of each kind are connected")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each part is measured")


class _Reader:
    """A client that only reads, and counts what it is sent."""

    def __init__(self, socket: ClientConnection) -> None:
        self.received = 0
        self._socket = socket

    async def run(self) -> None:
        try:
            async for frame in self._socket:
                self.received += len(frame)
        except ConnectionClosed:
            return


@asynccontextmanager
async def _readers(hub: HubProcess, kind: str, many: int) -> AsyncIterator[list[_Reader]]:
    """Clients of a kind that follow the whole queue."""
    address = f"{hub.queue('long')}/client".replace("http", "ws", 1)
    native: Any = {"subprotocols": ["asman.v1.msgpack"]} if kind == "native" else {}
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(address, compression=None, max_size=None, **native))
            for _ in range(many)
        ]
        if native:
            for socket in sockets:
                await socket.send(msgpack.packb([{"type": "hello", "follow": "queue"}]))
        readers = [_Reader(socket) for socket in sockets]
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        try:
            yield readers
        finally:
            for task in tasks:
                task.cancel()


async def traffic(hub: HubProcess, numbers: Iterator[int], seconds: float) -> list[float]:
    """Submits and finishes jobs for a while; returns how long each submit waited for its answer, in milliseconds."""
    waits: list[float] = []
    until = time.monotonic() + seconds
    async with (
        dialled(hub, "long", "worker", **registration("long")) as worker,
        dialled(hub, "long", "client", type="hello") as client,
    ):
        held = await worker.next("assign")
        while time.monotonic() < until:
            begun = time.perf_counter()
            await client.say(submit(next(numbers)))
            await client.next("accepted")
            waits.append((time.perf_counter() - begun) * 1000)
            about = {"job": held["job"], "attempt": held["attempt"]}
            await worker.say({"type": "finished", "outcome": {"kind": "exited", "exit_code": 0}, **about})
            held = await worker.next("assign")
            await worker.next("acknowledged")
            await asyncio.sleep(PAUSE)
    return waits


def share_of(values: list[float], share: float) -> float:
    """Returns the value that a share of all values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def _measure(report: Report, wanted: argparse.Namespace) -> None:
    numbers = count(20_000_000)
    with tempfile.TemporaryDirectory(prefix="asman-bench-") as folder:
        hub = HubProcess(Path(folder))
        try:
            await fill(hub.data, numbers, {"long": wanted.jobs})
            await asyncio.to_thread(hub.start)
            async with _readers(hub, "native", wanted.clients) as native:
                alone = await traffic(hub, numbers, wanted.seconds)
                await asyncio.sleep(0.5)
                before = rss(hub.pid)
                async with _readers(hub, "json", wanted.clients) as older:
                    await asyncio.sleep(2)
                    connected = sum(reader.received for reader in older) / wanted.clients
                    base = [(sum(one.received for one in kind)) for kind in (native, older)]
                    begun = time.monotonic()
                    beside = await traffic(hub, numbers, wanted.seconds)
                    took = time.monotonic() - begun
                    sent = [sum(one.received for one in kind) for kind in (native, older)]
                    grown = rss(hub.pid) - before
        finally:
            await asyncio.to_thread(hub.kill)
    for name, waits in (("native clients alone", alone), (f"with {wanted.clients} JSON clients", beside)):
        report.add(f"submit to accepted, p50, {name}", "ms", [share_of(waits, 0.5)])
        report.add(f"submit to accepted, p99, {name}", "ms", [share_of(waits, 0.99)])
        report.add(f"jobs submitted and finished, {name}", "jobs/s", [len(waits) / wanted.seconds])
    for at, kind in enumerate(("native", "JSON")):
        rate = (sent[at] - base[at]) / took / wanted.clients / 1024
        report.add(f"sent to each {kind} client", "KiB/s", [rate])
    report.add("sent to a JSON client as it connects", "KiB", [connected / 1024])
    report.add("memory of the hub, grown by the JSON clients", "MiB", [grown / 2**20])


def run(wanted: argparse.Namespace) -> Report:
    """Measures it."""
    report = Report("dialect")
    asyncio.run(_measure(report, wanted))
    report.notes += [
        f"One hub, SQLite, every commit synced; {wanted.jobs:,} jobs queued; {wanted.clients} native clients that"
        f" follow the queue, then as many of the JSON dialect beside them; {wanted.seconds:g} s each.",
        "All clients run in the one process that measures, so reading the JSON lists is part of what the natives wait.",
    ]
    return report
