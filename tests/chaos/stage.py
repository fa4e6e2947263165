"""The actors of one play: a hub, its database, workers and the proxies between them, each a real process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import aiohttp

from devtools.asman_processes import AsmanProcess, AsmanProcesses, HubProcess
from devtools.postgres import PostgresServer
from tests.chaos.proxy import Proxy
from tests.chaos.runs import Runs, clock

QUEUE = "chaos"
PROBED = "probe"
GRACE = 3
"""Grace of the hub for a lost worker, in seconds."""


@dataclass
class WorkerPlace:
    """One worker's machine: its process, its data folder and its proxy to the hub."""

    name: str
    proxy: Proxy
    data: Path
    process: AsmanProcess
    cpus: int


@dataclass
class Stage:
    """The actors of one play: a hub, its database, workers and the proxies between them, each a real process.

    Made by `set_up`.
    """

    folder: Path
    processes: AsmanProcesses
    hub: HubProcess
    postgres: PostgresServer | None
    runs: Runs
    workers: list[WorkerPlace] = field(default_factory=list)
    clients: list[Proxy] = field(default_factory=list)
    _folders: count[int] = field(default_factory=count)
    _probes: count[int] = field(default_factory=count)

    def signal(self, process: AsmanProcess, number: signal.Signals) -> None:
        """Sends a signal to a running process."""
        if process.running:
            os.kill(process.pid, number)

    def start_worker(self, name: str, proxy: Proxy, cpus: int, data: Path | None = None) -> WorkerPlace:
        """Starts a worker behind a proxy; without a data folder it is a new machine."""
        data = data or self.folder / f"worker-{next(self._folders)}"
        address = f"http://127.0.0.1:{proxy.port}/q/{QUEUE}"
        process = self.processes.worker(
            address,
            *("--executor", "process", "--name", name, "--cpus", str(cpus), "--data-dir", str(data)),
        )
        return WorkerPlace(name, proxy, data, process, cpus)

    async def answered(self, since: float, seconds: float = 60) -> float:
        """Waits until the hub acknowledges a job again, durably; returns the time from ``since``, in seconds.

        Raises:
            AssertionError: The hub does not answer within ``seconds``.
        """
        # Asks directly, on a new connection each time: this measures the hub's recovery, not a client's.
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while True:
                definition = {"command": ["true"], "env": {"PROBE": str(next(self._probes))}}
                try:
                    async with session.post(
                        f"{self.hub.url}/q/{PROBED}/jobs", json={"definition": definition}
                    ) as answer:
                        if answer.status in (200, 201):
                            return clock() - since
                except (OSError, aiohttp.ClientError, TimeoutError):
                    pass
                assert clock() - since < seconds, f"the hub does not answer\n{self.hub.tail()}"
                await asyncio.sleep(0.01)

    def wake_all(self) -> None:
        """Wakes everything that is frozen."""
        for process in self.processes.started:
            self.signal(process, signal.SIGCONT)
        if self.postgres is not None:
            self.postgres.thaw()


@asynccontextmanager
async def set_up(
    folder: Path, postgres: PostgresServer | None, *, workers: int, clients: int, cpus: int
) -> AsyncIterator[Stage]:
    """Starts the actors; all of them end with the block.

    Args:
        folder: Folder for all files.
        postgres: The database's server; None for SQLite.
        workers: Number of workers.
        clients: Number of proxies for clients.
        cpus: Number of jobs that a worker runs at once.
    """
    processes = AsmanProcesses(folder)
    more = () if postgres is None else ("--database-url", postgres.new_database())
    stage: Stage | None = None
    try:
        hub = await asyncio.to_thread(processes.hub, "--grace", f"{GRACE}s", *more)
        stage = Stage(folder, processes, hub, postgres, Runs(folder / "runs"))
        async with AsyncExitStack() as proxies:
            for number in range(workers):
                proxy = await proxies.enter_async_context(Proxy(hub.port))
                stage.workers.append(stage.start_worker(f"worker {number}", proxy, cpus))
            for _ in range(clients):
                stage.clients.append(await proxies.enter_async_context(Proxy(hub.port)))
            yield stage
    finally:
        if stage is not None:
            stage.wake_all()
        await asyncio.to_thread(processes.stop_all)
