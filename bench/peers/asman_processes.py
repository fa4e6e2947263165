"""Asman with its own worker and its `process` executor: a process for each job, with a folder, a log and outputs."""

from __future__ import annotations

import asyncio
import sys
import tempfile

from bench.peers.asman_library import Client as Library
from bench.peers.orders import CONCURRENT, run


class Client(Library):
    """Asman with its own worker and its `process` executor: one process per job, with folder, log and outputs."""

    async def many(self, wanted: list[str]) -> None:
        items = ({"command": ["true", payload]} for payload in wanted)
        async for job in self._queue.run_many(items):
            assert job.verdict is not None
            assert job.verdict.ok, job.verdict


async def work(address: str) -> None:
    """`asman worker`, which is another program; it ends with this one."""
    with tempfile.TemporaryDirectory(prefix="asman-bench-") as folder:
        options = ["--executor", "process", "--data-dir", folder, "--cpus", str(CONCURRENT)]
        program = "from asman.cli.main import main; main()"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, "worker", address, *options)
        try:
            await process.wait()
        finally:
            process.terminate()


if __name__ == "__main__":
    run(work, Client)
