"""The connection, the hub and the worker are killed in the middle of each transfer of a job; its bytes arrive."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import asman
from asman_shared.limits import PART_BYTES
from asman_shared.units import MIB
from devtools.asman_processes import AsmanProcess, AsmanProcesses, HubProcess
from tests.chaos.proxy import Proxy
from tests.support.gate import Gate

SIZE = PART_BYTES + 8 * MIB
MIDDLE = 9 * MIB
COMMAND = '(cat "$JOB_INPUTS/data"; echo more) > "$JOB_OUTPUTS/copy"; chmod 750 "$JOB_OUTPUTS/copy"'


@dataclass
class House:
    """A hub, a worker and a client, each of the two behind a proxy of its own with a gate."""

    hub: HubProcess
    worker: AsmanProcess
    proxies: list[Proxy]
    workers_gate: Gate
    clients_gate: Gate
    url: str


@pytest.fixture
async def house(
    hub_process: Callable[..., HubProcess], processes: AsmanProcesses, tmp_path: Path
) -> AsyncIterator[House]:
    hub = await asyncio.to_thread(hub_process)
    workers, clients = Gate(), Gate()
    async with Proxy(hub.port, workers) as worker_side, Proxy(hub.port, clients) as client_side:
        arguments = ["--executor", "process", "--data-dir", str(tmp_path / "worker")]
        worker = await asyncio.to_thread(
            processes.worker, f"http://127.0.0.1:{worker_side.port}/q/transfers", *arguments
        )
        url = f"http://127.0.0.1:{client_side.port}/q/transfers"
        yield House(hub, worker, [worker_side, client_side], workers, clients, url)
        await asyncio.to_thread(worker.kill)


async def strike(house: House, what: str) -> None:
    """Breaks something, and mends what does not mend itself."""
    match what:
        case "connection":
            for proxy in house.proxies:
                proxy.reset()
        case "hub":
            await asyncio.to_thread(house.hub.restart)
        case "worker":
            await asyncio.to_thread(house.worker.restart)


async def strike_in_the_middle(house: House, gate: Gate, what: str) -> None:
    """Breaks something when the gate holds a transfer up."""
    await gate.reached()
    await strike(house, what)
    gate.open()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data"
    path.write_bytes(os.urandom(SIZE))
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("what", ["connection", "hub", "worker"])
async def test_bytes_arrive_whatever_is_killed_in_the_middle_of_moving_them(
    house: House, data: Path, tmp_path: Path, what: str
) -> None:
    clients, workers = house.clients_gate, house.workers_gate
    async with asman.connect(house.url) as queue:
        clients.shut(towards_hub=True, after=MIDDLE)
        workers.shut(towards_hub=False, after=MIDDLE)
        submitting = asyncio.create_task(queue.submit(command=COMMAND, files=[data], max_attempts=9))
        await strike_in_the_middle(house, clients, what)
        await strike_in_the_middle(house, workers, what)
        # The worker has its input half; what it sends to the hub in numbers is its output.
        workers.shut(towards_hub=True, after=MIDDLE)
        await strike_in_the_middle(house, workers, what)
        result = await (await submitting).result(60)
        clients.shut(towards_hub=False, after=MIDDLE)
        saving = asyncio.create_task(result.save_outputs(tmp_path / "out"))
        await strike_in_the_middle(house, clients, what)
        (saved,) = await saving
    assert saved.read_bytes() == data.read_bytes() + b"more\n"
    assert sha256(saved) == result.outputs["copy"].sha256
    assert saved.stat().st_mode & 0o100


async def test_the_same_bytes_the_second_time_do_not_move(house: House, data: Path) -> None:
    copy = 'cp "$JOB_INPUTS/data" "$JOB_OUTPUTS/copy"'
    async with asman.connect(house.url) as queue:
        moved: list[int] = []
        await queue.submit(command="true", files=[data], progress=moved.append)
        assert sum(moved) == SIZE
        up = house.clients_gate.up
        job = await queue.submit(command=copy, files=[data], progress=moved.append)
        assert sum(moved) == SIZE
        assert house.clients_gate.up - up < 10_000
        result = await job.result(60)
    assert result.outputs["copy"].sha256 == sha256(data)
    assert house.workers_gate.up < MIB
