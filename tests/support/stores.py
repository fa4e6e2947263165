"""Stores of hubs with something in them, and what they hold, to be compared."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

import asman
from asman_server.config import load_config
from asman_server.upkeep.backup import Backup
from asman_server.upkeep.manifest import Manifest
from asman_server.upkeep.restore import restore
from devtools.asman_processes import AsmanProcesses, HubProcess
from tests.support.blob_hub import BlobHub, TestClock, open_blob_hub, sha256

QUEUE = "kept"
SCRIPT = (
    "echo begins {n}; cat $JOB_INPUTS/large | wc -c; mkdir $JOB_OUTPUTS/d; cp $JOB_INPUTS/large $JOB_OUTPUTS/d/copy;"
    " echo {n} >> $JOB_OUTPUTS/d/copy; echo small {n} > $JOB_OUTPUTS/small; echo ends >&2"
)
WORKER = ("--executor", "process", "--cpus", "2", "--drain-timeout", "0.1s")


async def submitted(queue: asman.Queue, number: int, *, size: int = 100_000) -> asman.Job:
    """A job with an input and an output of its own that are blobs."""
    large = hashlib.shake_128(str(number).encode()).digest(size)
    return await queue.submit(command=["sh", "-c", SCRIPT.format(n=number)], inputs={"large": large})


async def seen(url: str, ids: list[str]) -> dict[str, Any]:
    """All that people see of finished jobs: definition, verdict, logs, and the bytes of inputs and outputs."""
    found: dict[str, Any] = {}
    async with asman.connect(url) as queue:
        for each in ids:
            job = await queue.get(each)
            result = await job.result()
            found[each] = {
                "state": msgspec.to_builtins(job.state),
                "lines": [(line.seq, line.time, line.stream, line.text) async for line in job.logs()],
                "outputs": {name: await result.outputs[name].read_bytes() for name in result.outputs},
                "exit": result.exit_code,
            }
    return found


async def ran(url: str, first: int, last: int) -> list[str]:
    """Runs some jobs to their end, and returns their ids."""
    async with asman.connect(url) as queue:
        jobs = [await submitted(queue, number) for number in range(first, last)]
        for job in jobs:
            await job.result()
        return [job.id for job in jobs]


def worker_of(processes: AsmanProcesses, hub: HubProcess, folder: Path) -> Callable[[], int]:
    """Starts a worker without containers; returns what ends it."""
    started = processes.worker(hub.queue(QUEUE), *WORKER, "--data-dir", str(folder))
    return started.terminate


@asynccontextmanager
async def store_of_blobs(
    data: Path, number: int = 3, clock: TestClock | None = None
) -> AsyncIterator[tuple[BlobHub, list[bytes]]]:
    """A data folder of a hub that has blobs and nothing else, with the hub's collector, and the blobs."""
    data.mkdir(exist_ok=True)
    (data / "secret").write_bytes(b"s" * 32)
    bodies = [os.urandom(1000 + each) for each in range(number)]
    async with open_blob_hub(f"sqlite:///{data / 'hub.sqlite'}", data / "blobs", clock=clock) as hub:
        await hub.upload(*bodies)
        yield hub, bodies
    # A connection of SQLite is closed in a thread, which may write to the file.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 10)


def _silent(_sentence: str) -> None:
    """Says nothing."""


async def backed_up(data: Path, place: Path | str, keep: int = 7, **more: Any) -> Manifest:
    return await Backup(load_config(data_dir=data, **more), str(place), keep, _silent).run()


async def restored(place: Path | str, data: Path, blobs: str | None = None, **more: Any) -> None:
    await restore(load_config(data_dir=data, blobs=blobs), str(place), _silent, **more)


def files(folder: Path) -> dict[str, bytes]:
    """The files of a folder but locks, which name the last process."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def blobs_of(data: Path) -> set[str]:
    return {sha256(body) for name, body in files(data / "blobs").items() if not name.startswith("incoming")}
