"""Growth: how the throughput of one hub changes as its queues, clients and workers become more."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.measure import Report
from bench.open_files import raise_open_files
from devtools.asman_processes import HubProcess

CONCURRENT = 100
"""Jobs that all workers of a queue take at a time, together."""
WINDOW = 2000
"""Jobs that are not finished, over all clients."""
IN_FRAME = 500
"""Most jobs that are submitted in one frame."""
OPENING = 50
"""Connections that are opened at a time."""


class Shape(NamedTuple):
    """How many of each there are; each queue has its own clients and workers."""

    queues: int = 1
    clients: int = 1
    workers: int = 1

    def __str__(self) -> str:
        """Only what is more than one."""
        many = [f"{count:,} {name}" for name, count in zip(self._fields, self, strict=True) if count > 1]
        return ", ".join(many) or "one of each"


SHAPES: dict[str, Shape] = {
    str(shape): shape
    for shape in (
        Shape(queues=10),
        Shape(queues=1000),
        Shape(clients=10),
        Shape(clients=100),
        Shape(workers=10),
        Shape(workers=100),
    )
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of one run [10000]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each shape [3]")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), help="beside one of each")


class _Job(msgspec.Struct):
    state: str = ""


class _Heard(msgspec.Struct):
    """As much of a message as is looked at here."""

    type: str
    job: msgspec.Raw = msgspec.Raw()
    attempt: int = 0
    message: str = ""


_frame = msgspec.msgpack.Decoder(list[_Heard]).decode
_job = msgspec.msgpack.Decoder(_Job).decode
_pack = msgspec.msgpack.Encoder().encode


async def _dialled(address: str, first: object, opening: asyncio.Semaphore) -> ClientConnection:
    protocol = Subprotocol("asman.v1.msgpack")
    async with opening:
        made = await connect(
            address, subprotocols=[protocol], compression=None, max_size=None, ping_interval=None, open_timeout=60
        )
        await made.send(_pack([first]))
        # The hub has answered the first message when all before it is done.
        await made.recv()
    return made


def _addresses(base: str, queues: int, who: str) -> list[str]:
    return [f"{base.replace('http', 'ws', 1)}-{number}/{who}" for number in range(queues)]


async def work(base: str, queues: int, each: int) -> None:
    """Has workers finish every job of some queues at once, until it is killed; prints a line when all are there."""
    opening = asyncio.Semaphore(OPENING)

    async def register(number: int, address: str) -> ClientConnection:
        about = {
            "type": "register",
            "incarnation": f"bench-growth-{number:08}",
            "name": "w",
            "cpus": CONCURRENT // each,
        }
        return await _dialled(address, about, opening)

    async def finish(socket: ClientConnection) -> None:
        outcome = {"kind": "exited", "exit_code": 0}
        async for frame in socket:
            assert isinstance(frame, bytes)
            ended = [
                {"type": "finished", "job": message.job, "attempt": message.attempt, "outcome": outcome}
                for message in _frame(frame)
                if message.type == "assign"
            ]
            if ended:
                await socket.send(_pack(ended))

    places = [address for address in _addresses(base, queues, "worker") for _ in range(each)]
    sockets = await asyncio.gather(*(register(number, address) for number, address in enumerate(places)))
    print("ready", flush=True)
    async with asyncio.TaskGroup() as tasks:
        for socket in sockets:
            tasks.create_task(finish(socket))


def _submit(name: str) -> object:
    return {"type": "submit", "ref": 0, "definition": {"image": "a", "command": ["echo", name]}}


async def _submit_all(socket: ClientConnection, name: str, jobs: int, window: int) -> None:
    """Submits jobs, never more than a window ahead, until the last one is known to be finished."""
    submitted = finished = 0
    at_once = max(1, min(IN_FRAME, window // 4))
    while finished < jobs:
        while submitted < jobs and submitted - finished <= window - at_once:
            count = min(at_once, jobs - submitted)
            await socket.send(_pack([_submit(f"{name}-{number}") for number in range(submitted, submitted + count)]))
            submitted += count
        frame = await socket.recv()
        assert isinstance(frame, bytes)
        for message in _frame(frame):
            if message.type == "error":
                raise RuntimeError(message.message)
            finished += message.type == "changed" and _job(message.job).state == "Finished"


async def _drive(base: str, shape: Shape, jobs: int, hub: psutil.Process) -> tuple[float, float]:
    """Has all clients submit their share; returns jobs a second and the hub's seconds of processor time for each."""
    opening = asyncio.Semaphore(OPENING)
    places = [address for address in _addresses(base, shape.queues, "client") for _ in range(shape.clients)]
    sockets = await asyncio.gather(*(_dialled(address, {"type": "hello"}, opening) for address in places))
    share = max(1, jobs // len(sockets))
    window = max(4, WINDOW // len(sockets))
    before, begun = sum(hub.cpu_times()[:2]), time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number, socket in enumerate(sockets):
            tasks.create_task(_submit_all(socket, str(number), share, window))
    took = time.perf_counter() - begun
    cost = sum(hub.cpu_times()[:2]) - before
    await asyncio.gather(*(socket.close() for socket in sockets))
    return share * len(sockets) / took, cost / (share * len(sockets))


def _measure(hub: HubProcess, shape: Shape, jobs: int, name: str) -> tuple[float, float]:
    base = hub.queue(name)
    arguments = [sys.executable, "-m", "bench.growth", base, str(shape.queues), str(shape.workers)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as worker:
        try:
            assert worker.stdout is not None
            if worker.stdout.readline() != b"ready\n":
                raise RuntimeError("the workers did not come")
            return uvloop.run(_drive(base, shape, jobs, psutil.Process(hub.pid)))
        finally:
            worker.kill()


def run(wanted: argparse.Namespace) -> Report:
    """Measures each shape in turns with one of each, on new queues of one hub."""
    raise_open_files()
    report = Report("growth")
    shapes: Sequence[Shape] = [SHAPES[name] for name in wanted.shapes]
    rates: dict[Shape, list[float]] = {shape: [] for shape in shapes}
    costs: dict[Shape, list[float]] = {shape: [] for shape in shapes}
    ones: dict[Shape, list[tuple[float, float]]] = {shape: [] for shape in shapes}
    with tempfile.TemporaryDirectory() as folder:
        hub = HubProcess(Path(folder))
        hub.start()
        try:
            _measure(hub, Shape(), 500, "warm")
            for turn in range(wanted.rounds):
                for place, shape in enumerate(shapes):
                    ones[shape].append(_measure(hub, Shape(), wanted.jobs, f"one-{turn}-{place}"))
                    rate, cost = _measure(hub, shape, wanted.jobs, f"many-{turn}-{place}")
                    rates[shape].append(rate)
                    costs[shape].append(cost)
        finally:
            hub.kill()
    for shape in shapes:
        ratios = [rate / one[0] for rate, one in zip(rates[shape], ones[shape], strict=True)]
        report.add(f"{shape} / one of each: throughput", "x", ratios)
    for shape in shapes:
        if all(one[1] for one in ones[shape]):
            dearer = [cost / one[1] for cost, one in zip(costs[shape], ones[shape], strict=True)]
            report.add(f"{shape} / one of each: processor time of the hub for a job", "x", dearer)
    report.add("one of each: throughput", "jobs/s", [one[0] for shape in shapes for one in ones[shape]])
    for shape in shapes:
        report.add(f"{shape}: throughput", "jobs/s", rates[shape])
    report.notes += [
        f"{wanted.jobs:,} jobs a run, {WINDOW:,} on their way at a time over all clients; each queue has its own "
        f"clients and workers, and its workers take {CONCURRENT} at a time together and finish at once.",
        "One hub process on SQLite, every commit synced; one process of clients and one of workers share its two "
        "cores, so that more connections cost these too.",
    ]
    return report


if __name__ == "__main__":
    raise_open_files()
    uvloop.run(work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
