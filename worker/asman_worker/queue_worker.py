"""Serves one queue: its connection, its attempts, and its shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from asman_shared.address import Address
from asman_shared.link.dial import Dismissed, QueueGone
from asman_shared.messages import Register, Registered
from asman_shared.running.supervisor import Supervisor
from asman_shared.version import __version__

from .attempts.agent import Agent
from .attempts.attempt import AttemptContext
from .attempts.capacity import Capacity
from .attempts.disk_reserve import DiskReserve
from .attempts.outputs import Collector
from .attempts.result_spool import Spool
from .attempts.service_limits import ServiceLimits
from .attempts.staging import Stager
from .config import WorkerConfig
from .execution.interface import JobExecutor
from .files.cache import FileCache
from .files.cached_blobs import CachedBlobs
from .files.data_dir import Home
from .files.places import Places
from .hub_link.connection import HubConnection
from .hub_link.send_buffer import SendBuffer

log = logging.getLogger("asman.worker.queue")


class QueueWorker:
    """The parts that serve one queue.

    Args:
        config: The operator's settings.
        target: The queue.
        home: The queue's folder.
        spool: Stores attempts and results across restarts.
        executor: Runs the jobs.
        platform: Platform of the jobs that the executor can run.
        capacity: The machine's resources for jobs of all queues.
        service_limits: Ends the service after a number of jobs or after idle time.
        on_ready: Called with the hub's answer to each registration.
        cache: The folder with the ``/job-cache`` of each queue.
        inputs: The cache of inputs, shared by all queues.
        disk_reserve: Watches the free disk of the machine.
        places: The places outside of the hub that jobs may use.
    """

    def __init__(
        self,
        config: WorkerConfig,
        target: Address,
        home: Home,
        spool: Spool,
        executor: JobExecutor,
        platform: str,
        capacity: Capacity,
        service_limits: ServiceLimits,
        on_ready: Callable[[Registered], None] | None,
        *,
        short: str,
        job_cache: Path,
        inputs: FileCache,
        disk_reserve: DiskReserve,
        places: Places,
    ) -> None:
        send_buffer = SendBuffer()
        self.short = short
        self.label = f"queue {short}"
        self._drain_seconds = config.drain_timeout / 1000
        self._connection = HubConnection(target, send_buffer, short)
        self._blobs = CachedBlobs(self._connection, target, inputs, allowed=config.allow_host)
        self.job_cache = job_cache
        context = AttemptContext(
            config=config,
            executor=executor,
            send_buffer=send_buffer,
            stager=Stager(self._blobs, most=config.max_input, places=places),
            collector=Collector(self._blobs, most=config.max_outputs, places=places),
            jobs=home.folder("jobs"),
            cache=self.job_cache,
            url=target.hub,
            capacity=capacity,
            fetch=self._fetch,
        )
        gpus = capacity.free[2]
        self.agent = Agent(
            context,
            spool,
            _introduction(config, home, executor, platform, gpus, places.tags),
            on_ready,
            service_limits,
            disk_reserve,
        )

    async def run(self, drain: asyncio.Event, stop: asyncio.Event, supervisor: Supervisor) -> int:
        """Serves until asked to drain, and then to the end of the drain; returns the exit code."""
        await self.agent.recover()
        connecting = asyncio.create_task(self._connection.run(self.agent), name="connection")
        working = asyncio.create_task(self.agent.run_all(), name="agent")
        draining = asyncio.create_task(drain.wait(), name="drain")
        looking = supervisor.start(f"the disk of {self.label}", self._look_at_disk())
        try:
            await asyncio.wait((connecting, working, draining), return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                try:
                    await connecting
                except (Dismissed, QueueGone) as error:
                    log.info("%s: %s", self.label, error.message)
                    return 0
            if working.done():
                await working
            return await self._drain(stop, connecting)
        finally:
            await self.agent.hand_back()
            await self._connection.flushed(2.0)
            for task in (connecting, working, draining, looking):
                task.cancel()
            await asyncio.gather(connecting, working, draining, looking, return_exceptions=True)
            await self._blobs.close()

    async def _look_at_disk(self) -> None:
        """Reconnects once nothing is short any more: the new registration tells the hub that jobs are accepted."""
        while True:
            await self.agent.short_of_disk()
            log.info("%s: jobs are taken again", self.label)
            await self._connection.renew()

    def remark(self, text: str) -> None:
        """Sets a remark about this worker, which lists of workers show from its next registration on."""
        self.agent.remark(text)

    def introduce_again(self) -> None:
        """Registers again soon, which tells the hub whether jobs are accepted now."""
        self._connection.renew_soon()

    async def _drain(self, stop: asyncio.Event, connecting: asyncio.Task[None]) -> int:
        """Finishes running jobs, unless asked to stop or out of time; returns the exit code."""
        finishing = asyncio.create_task(self.agent.drain(), name="finish")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait(
                (finishing, stopping, connecting),
                timeout=self._drain_seconds or None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if connecting.done():
                try:
                    await connecting
                except (Dismissed, QueueGone) as error:
                    log.info("%s: %s", self.label, error.message)
                    return 0
            return 0 if finishing.done() else 1
        finally:
            for task in (finishing, stopping):
                task.cancel()
            await asyncio.gather(finishing, stopping, return_exceptions=True)

    async def _fetch(self, sha256: str, target: Path, most: int) -> None:
        """Downloads a blob of the queue."""
        links = await self._blobs.links([sha256])
        await self._blobs.fetch(links[sha256].url, target, sha256=sha256, most=most)


def _introduction(
    config: WorkerConfig, home: Home, executor: JobExecutor, platform: str, gpus: int, tags: list[str]
) -> Register:
    return Register(
        incarnation=home.incarnation,
        name=config.name,
        cpus=config.cpus,
        agent=f"asman-worker/{__version__}",
        memory=config.memory,
        gpus=gpus,
        tags=[*config.tags, *executor.own_tags, *tags],
        platform=platform,
        max_duration=config.max_duration,
        executor=executor.name,
        sources=list(executor.sources),
    )
