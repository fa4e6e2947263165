"""Runs one worker process from start to exit: one machine, any number of queues."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from asman_shared.errors import BadRequest, Unavailable
from asman_shared.messages import Registered
from asman_shared.running.full_outputs import give_up_full_outputs
from asman_shared.running.supervisor import TASK_FAILED, Supervisor
from asman_shared.units import format_size

from .attempts.capacity import Capacity
from .attempts.disk_reserve import DiskReserve
from .attempts.result_spool import Spool
from .attempts.service_limits import ServiceLimits
from .config import WorkerConfig
from .containers.config import Confines
from .containers.docker_executor import DockerExecutor
from .containers.shared_engine import EngineChoices, SharedEngine
from .execution.disk_use import DiskGuard, share_of_free
from .execution.gpus import choose, discover
from .execution.interface import JobExecutor
from .execution.process_executor import ProcessExecutor
from .files.cache import FileCache
from .files.data_dir import DataDir, Home
from .files.places import Places
from .files.s3_buckets import S3Buckets
from .files.shared_folders import SharedFolders
from .images.engine_health import EngineHealth
from .images.rules import ImageRules
from .images.usage import ImageUsage
from .janitor import Janitor
from .neighbours import Neighbours, Offer
from .oci.choice import WITHOUT_ENGINE, choose_executor
from .oci.executor import OciExecutor
from .oci.host import OciHost
from .oci.image_store import ImageStore
from .queue_worker import QueueWorker
from .status import Status, serving

log = logging.getLogger("asman.worker")


async def run_worker(
    config: WorkerConfig,
    *,
    stop: asyncio.Event | None = None,
    on_ready: Callable[[Registered], None] | None = None,
    executor: JobExecutor | None = None,
) -> int:
    """Serves queues until told to stop, then drains: finishes running jobs, sends every result, and returns.

    Cancelling it stops at once: running jobs are killed, cleaned up and returned to the hub.

    Args:
        config: The operator's settings.
        stop: Set to drain. Without it the process's SIGTERM and SIGINT do that, and a second one stops at once.
        on_ready: Called with the hub's answer to each registration.
        executor: The executor for all queues, instead of the one that ``config.executor`` names.

    Returns:
        The exit code: 0, or 1 when running jobs had to be returned to the hub.

    Raises:
        BadRequest: A setting can't be read, or names something that this machine does not have.
        Unavailable: The data folder or the container engine can't be used.
        ProtocolError: The hub refuses this worker.
    """
    targets = config.targets
    gpus = choose(config.gpus, discover())
    async with AsyncExitStack() as parts:
        data = parts.enter_context(DataDir.take(config.data_dir.expanduser().absolute()))
        homes = data.homes(targets)
        inputs = FileCache(data.path / "inputs", most=config.input_cache, age=config.cache_age / 1000)
        image_usage = ImageUsage(data.path / "images.json", most=config.image_cache, age=config.cache_age / 1000)
        guard = disk_guard(config, data.path)
        kind, engine_missing = await choose_executor(config) if executor is None else (config.executor, "")
        if kind in WITHOUT_ENGINE and gpus:
            raise BadRequest(
                f"the executor {kind} gives no gpus to jobs yet: use --executor docker for them", field="gpus"
            )
        places = _places(config, kind)
        parts.push_async_callback(places.buckets.close)
        runs = _Runs(config, kind, data, executor, image_usage, guard)
        capacity = Capacity(round(config.cpus * 1000), config.memory, gpus, shared=len(targets) > 1)
        neighbours = Neighbours(Offer(os.getpid(), config.memory, round(config.cpus * 1000), len(gpus), os.geteuid()))
        parts.enter_context(neighbours.announced())
        asked = parts.enter_context(_signals(stop))
        service_limits = ServiceLimits(asked.drain, max_jobs=config.max_jobs, idle=config.exit_when_idle / 1000)
        parts.callback(service_limits.stop)
        health = EngineHealth(runs.engine.answers) if runs.engine is not None else None
        disk_reserve = DiskReserve(data.path, config.disk_reserve, health.problem if health is not None else str)
        supervisor = Supervisor(log, "worker")
        sides: list[QueueWorker] = []
        for target, home in zip(targets, homes, strict=True):
            spool = Spool(home.path / "spool")
            parts.push_async_callback(spool.close)
            own = runs.of(home)
            try:
                platform = await own.open()
            except Unavailable as error:
                if not engine_missing:
                    raise
                raise Unavailable(f"{engine_missing}; and without an engine: {error.message}") from error
            parts.push_async_callback(own.close)
            side = QueueWorker(
                config,
                target,
                home,
                spool,
                own,
                platform,
                capacity,
                service_limits,
                on_ready,
                short=data.short_name(target.queue),
                job_cache=data.job_cache(target.queue),
                inputs=inputs,
                disk_reserve=disk_reserve,
                places=places,
            )
            sides.append(side)
            log.info("worker %s serves queue %s with %s from %s", config.name, side.short, own.name, home.path)
        await runs.forget(data.strangers(homes))
        if config.status:
            engine = runs.engine.accepts if runs.engine is not None else None

            def notes() -> list[str]:
                return [*runs.notes(), *filter(None, [neighbours.problem()])]

            status = Status(sides, capacity, service_limits, disk_reserve, supervisor, engine, notes)
            port = await parts.enter_async_context(serving(status, config.status))
            log.info("health and metrics are on port %d", port)
        caches = [side.job_cache for side in sides]
        janitor = Janitor(
            inputs, image_usage, runs.engine, caches, runs.oci, most=config.job_cache, age=config.cache_age / 1000
        )
        service_limits.start()
        draining = asyncio.create_task(_drain_after(supervisor, asked), name="drain")
        beside = [supervisor.start("janitor", janitor.run()), draining]

        def told(problem: str) -> None:
            _remark(sides, problem)
            _introduce_again(sides)

        _remark(sides, neighbours.look())
        beside.append(supervisor.start("neighbours", neighbours.watch(told)))
        if health is not None:
            beside.append(supervisor.start("engine health", health.watch(partial(_introduce_again, sides))))
        async with _beside(*beside):
            code = await _serve(sides, asked, supervisor)
        return TASK_FAILED if supervisor.failed else code


def _places(config: WorkerConfig, kind: str) -> Places:
    """Makes what jobs may use besides the hub.

    Raises:
        BadRequest: A folder or bucket can't be used so.
    """
    if kind in ("process", "bubblewrap") and (config.shared_folder or config.s3_bucket):
        raise BadRequest(
            f"the executor {kind} gives jobs no shared folders and buckets: use --executor docker or oci",
            field="executor",
        )
    return Places(
        SharedFolders.of(config.shared_folder, config.data_dir),
        S3Buckets(
            S3Buckets.named(config.s3_bucket),
            endpoint=config.s3_endpoint,
            region=config.s3_region,
            access_key=config.s3_access_key,
            secret_key=config.s3_secret_key.get_secret_value(),
        ),
    )


def _remark(sides: list[QueueWorker], problem: str) -> None:
    for side in sides:
        side.remark(problem)


def _introduce_again(sides: list[QueueWorker]) -> None:
    for side in sides:
        side.introduce_again()


@contextlib.asynccontextmanager
async def _beside(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    """Ends tasks with the block."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drain_after(supervisor: Supervisor, asked: Asked) -> None:
    """Lets the worker finish its jobs and end when a task of its own has ended: only a restart heals that."""
    await supervisor.ended.wait()
    asked.drain.set()


class Asked:
    """Requests to the process: first to drain, then to stop."""

    def __init__(self, drain: asyncio.Event) -> None:
        self.drain = drain
        self.stop = asyncio.Event()

    def signalled(self) -> None:
        """Handles a signal: the first drains, the second stops."""
        if self.drain.is_set():
            self.stop.set()
        self.drain.set()


async def _serve(sides: list[QueueWorker], asked: Asked, supervisor: Supervisor) -> int:
    """Serves all queues to the end; a hub that refuses this worker does not affect the other queues."""
    working = [asyncio.create_task(side.run(asked.drain, asked.stop, supervisor), name=side.label) for side in sides]
    told: list[BaseException] = []
    try:
        for done in asyncio.as_completed(working):
            try:
                await done
            except Exception as failure:
                if not all(task.done() for task in working):
                    log.error("a queue could not be served: %s", failure)  # noqa: TRY400 - a sentence is enough
                    told.append(failure)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    failures = [error for task in working if not task.cancelled() and (error := task.exception()) is not None]
    untold = [error for error in failures if error not in told]
    if len(failures) == len(working):
        raise (untold or failures)[-1]
    for error in untold:
        log.error("a queue could not be served: %s", error)
    return max(task.result() for task in working if task.exception() is None)


class _Runs:
    """The means to run the jobs: one engine for all queues, containers without one, or processes."""

    def __init__(
        self,
        config: WorkerConfig,
        kind: str,
        data: DataDir,
        executor: JobExecutor | None,
        image_usage: ImageUsage,
        guard: DiskGuard,
    ) -> None:
        self._guard = guard
        self._config = config
        self._given = executor
        self.engine: SharedEngine | None = None
        self.oci: OciHost | None = None
        if executor is None and kind in WITHOUT_ENGINE:
            self.oci = oci_host(config, data, guard, kind)
        if executor is None and kind == "docker":
            self.engine = SharedEngine(
                engine_choices(config), data.incarnation, data.path / "builds", image_usage, guard
            )

    def of(self, home: Home) -> JobExecutor:
        """Returns the executor of one queue."""
        if self._given is not None:
            return self._given
        if self.engine is not None:
            return DockerExecutor(self.engine, home.incarnation)
        if self.oci is not None:
            return OciExecutor(self.oci, home.incarnation)
        config = self._config
        return ProcessExecutor(
            home.folder("jobs"), ignore_images=config.ignore_images, stop_grace=config.stop_grace, guard=self._guard
        )

    def notes(self) -> list[str]:
        """Lists conditions that the operator should know of, but with which the worker works."""
        means = self.engine or self.oci
        return means.notes() if means is not None else []

    async def forget(self, incarnations: list[str]) -> None:
        """Removes attempts of queues that this worker does not serve any more: no hub could take their results."""
        if self.engine is not None:
            for incarnation in incarnations:
                await DockerExecutor(self.engine, incarnation).sweep(set())
        elif self.oci is not None:
            for incarnation in incarnations:
                await OciExecutor(self.oci, incarnation).sweep(set())


def oci_host(config: WorkerConfig, data: DataDir, guard: DiskGuard, kind: str) -> OciHost:
    """Makes what is needed for containers without an engine; workers with the same data folder share their images."""
    store = ImageStore(
        config.data_dir.expanduser().absolute() / "oci-images",
        most=config.image_cache,
        age=config.cache_age / 1000,
        reserve=config.disk_reserve,
    )
    return OciHost(engine_choices(config), data.incarnation, data.path / "oci", store, config.oci_image, guard, kind)


def disk_guard(config: WorkerConfig, folder: Path) -> DiskGuard:
    """Makes the bounds on what jobs write; without a setting one job may write a share of what is free now."""
    most = share_of_free(folder, config.disk_reserve) if config.disk is None else config.disk
    if config.disk is None:
        log.info("one job may write %s, half of what is free beyond the reserve (--disk)", format_size(most))
    return DiskGuard(folder, most=most, files=config.disk_files, reserve=config.disk_reserve)


def engine_choices(config: WorkerConfig) -> EngineChoices:
    """Takes the engine's settings from a configuration."""
    return EngineChoices(
        url=config.docker,
        network=config.network,
        stop_grace=config.stop_grace,
        confines=Confines(
            incarnation="",
            memory=config.memory,
            cpus=round(config.cpus * 1000),
            pids=config.pids,
            runtime=config.runtime,
        ),
        pull=config.pull,
        rules=ImageRules(config.allow_image, config.deny_image),
        local_images=config.local_images,
        registry_auth=config.registry_auth,
        git_credentials=config.git_credentials,
        git_credentials_for=config.git_credentials_for,
        secrets=config.secrets,
        secret_sources=config.secret,
        allow_hosts=config.allow_host,
        context=config.max_context,
    )


@contextlib.contextmanager
def _signals(stop: asyncio.Event | None) -> Iterator[Asked]:
    """Listens to the process's signals unless the caller has an event for that."""
    if stop is not None:
        yield Asked(stop)
        return
    asked = Asked(asyncio.Event())
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, asked.signalled)
    give_up_full_outputs(numbers)
    try:
        yield asked
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
