"""One worker process from its start to its exit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import psutil

from asman_shared.messages import Register, Registered

from .agent import Agent
from .attempt import Workshop
from .blobs import Blobs
from .config import WorkerConfig
from .connection import HubConnection
from .container import Confines
from .datadir import DataDir
from .docker_executor import DockerExecutor
from .executor import Executor
from .outbox import Outbox
from .outputs import Collector
from .process_executor import ProcessExecutor
from .spool import Spool
from .staging import Stager

log = logging.getLogger("asman.worker")


async def run_worker(
    config: WorkerConfig,
    *,
    stop: asyncio.Event | None = None,
    on_ready: Callable[[Registered], None] | None = None,
    executor: Executor | None = None,
) -> int:
    """Serves a queue until told to stop, then drains: finishes what runs, hands in every result, and returns.

    Cancelling it stops at once: what runs is killed, cleaned up and given back to the hub.

    Args:
        config: The operator's choices.
        stop: Set to drain. Without it the process's SIGTERM and SIGINT do that, and a second one stops at once.
        on_ready: Called with the hub's answer to each registration.
        executor: What runs the jobs, instead of what ``config.executor`` names.

    Returns:
        The exit code: 0, or 1 when running jobs had to be given back.

    Raises:
        BadRequest: The queue can't be read from the configuration.
        Unavailable: The data folder or the container engine can't be used.
        ProtocolError: The hub refuses this worker.
    """
    target = config.target
    with DataDir.take(config.data_dir.expanduser().absolute()) as data:
        spool = Spool(data.path / "spool")
        jobs = data.folder("jobs")
        runs = executor or _executor(config, data)
        try:
            platform = await runs.open()
            try:
                worker = _Worker(config, data, spool, runs, platform, on_ready)
                with _signals(stop) as asked:
                    log.info("worker %s serves queue %s with %s from %s", config.name, target.digest, runs.name, jobs)
                    return await worker.run(asked)
            finally:
                await runs.close()
        finally:
            await spool.close()


class _Asked:
    """What the process is asked to do: drain, then stop."""

    def __init__(self, drain: asyncio.Event) -> None:
        self.drain = drain
        self.stop = asyncio.Event()

    def signalled(self) -> None:
        """The first signal drains, the second stops."""
        if self.drain.is_set():
            self.stop.set()
        self.drain.set()


class _Worker:
    """The parts of one worker, put together."""

    def __init__(
        self,
        config: WorkerConfig,
        data: DataDir,
        spool: Spool,
        executor: Executor,
        platform: str,
        on_ready: Callable[[Registered], None] | None,
    ) -> None:
        target = config.target
        outbox = Outbox()
        self._drain_seconds = config.drain_timeout / 1000
        self._connection = HubConnection(target, outbox)
        self._blobs = Blobs(self._connection, target)
        shop = Workshop(
            config=config,
            executor=executor,
            outbox=outbox,
            stager=Stager(self._blobs, most=config.max_input),
            collector=Collector(self._blobs, most=config.max_outputs),
            jobs=data.folder("jobs"),
            cache=_cache(data, target.digest),
            url=target.base,
        )
        self._agent = Agent(shop, spool, _introduction(config, data, executor, platform), on_ready)

    async def run(self, asked: _Asked) -> int:
        """Works until asked to drain, and then to the end of the drain; returns the exit code."""
        await self._agent.recover()
        connecting = asyncio.create_task(self._connection.run(self._agent), name="connection")
        working = asyncio.create_task(self._agent.run(), name="agent")
        draining = asyncio.create_task(asked.drain.wait(), name="drain")
        try:
            await asyncio.wait((connecting, working, draining), return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                await connecting
            if working.done():
                await working
            return await self._drain(asked, connecting)
        finally:
            await self._agent.hand_back()
            await self._connection.flushed(2.0)
            for task in (connecting, working, draining):
                task.cancel()
            await asyncio.gather(connecting, working, draining, return_exceptions=True)
            await self._blobs.close()

    async def _drain(self, asked: _Asked, connecting: asyncio.Task[None]) -> int:
        """Finishes what runs, unless asked to stop or out of time; returns the exit code."""
        finishing = asyncio.create_task(self._agent.drain(), name="finish")
        stopping = asyncio.create_task(asked.stop.wait(), name="stop")
        try:
            await asyncio.wait(
                (finishing, stopping, connecting),
                timeout=self._drain_seconds or None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if connecting.done():
                await connecting
            return 0 if finishing.done() else 1
        finally:
            for task in (finishing, stopping):
                task.cancel()
            await asyncio.gather(finishing, stopping, return_exceptions=True)


@contextlib.contextmanager
def _signals(stop: asyncio.Event | None) -> Iterator[_Asked]:
    """Listens to the process's signals unless the caller has an event for that."""
    if stop is not None:
        yield _Asked(stop)
        return
    asked = _Asked(asyncio.Event())
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, asked.signalled)
    try:
        yield asked
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _executor(config: WorkerConfig, data: DataDir) -> Executor:
    if config.executor == "process":
        return ProcessExecutor(data.folder("jobs"), ignore_images=config.ignore_images, stop_grace=config.stop_grace)
    confines = Confines(incarnation=data.incarnation, network=config.network, memory=config.memory, pids=config.pids)
    return DockerExecutor(confines, url=config.docker, stop_grace=config.stop_grace)


def _cache(data: DataDir, queue: str) -> Path:
    """The folder that jobs of a queue share; any user of any image may write there."""
    cache = data.folder("cache") / queue
    cache.mkdir(exist_ok=True)
    cache.chmod(0o777)
    return cache


def _introduction(config: WorkerConfig, data: DataDir, executor: Executor, platform: str) -> Register:
    return Register(
        incarnation=data.incarnation,
        name=config.name,
        cpus=config.cpus,
        agent=f"asman-worker/{_version()}",
        memory=config.memory,
        gpus=config.gpus,
        disk=psutil.disk_usage(str(data.path)).free,
        tags=list(config.tags),
        platform=platform,
        max_duration=config.max_duration,
        executor=executor.name,
    )


def _version() -> str:
    try:
        return metadata.version("asman")
    except metadata.PackageNotFoundError:
        return "0"
