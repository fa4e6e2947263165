"""Runs attempts in containers of a Docker Engine, or of another engine with its API, such as Podman."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import aiohttp
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError

from asman_shared.definition import Definition
from asman_shared.errors import ExecutionError
from asman_shared.states import Phase
from asman_shared.units import format_size

from ..execution.interface import AttemptSpec, Ended, Interrupted, Key, Reporter
from ..images.engine import LOST, explained, short, to_its_end
from .config import (
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_WORKER,
    NO_NETWORK,
    Confines,
    container_config,
    container_name,
    image_of,
    is_build,
)
from .disk_watch import outgrown
from .image_volumes import check_links
from .log import EngineLog
from .run import ContainerRun, End
from .shared_engine import OPEN, SharedEngine

log = logging.getLogger("asman.worker.docker")

_TRIES: Final = 10
_REACHES: Final = {NO_NETWORK: ", no network", OPEN: ", open network"}
_KILLED: Final = 137
"""Exit code of a container whose command was killed."""
_DELETE_PAUSES: Final = (0.0, 0.1, 0.5, 2.0)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The image of an attempt, fixed before it runs."""

    image: str
    digest: str
    origin: str = ""
    volumes: tuple[str, ...] = ()


class DockerExecutor:
    """Runs the attempts of one queue, each in a container.

    Args:
        engine: The engine.
        incarnation: Marks the containers as this queue's and this worker's own.
    """

    uses_folder = True
    resumes = True

    def __init__(self, engine: SharedEngine, incarnation: str) -> None:
        self._engine = engine
        self._incarnation = incarnation
        self._chosen: dict[Key, _Chosen] = {}

    @property
    def name(self) -> str:
        """The name in lists of workers; it tells of a network that is not the usual one."""
        return f"docker{_REACHES.get(self._engine.reach, '')}"

    async def open(self) -> str:
        """Connects to the engine; returns its platform.

        Raises:
            Unavailable: No engine answers.
        """
        return await self._engine.open()

    async def close(self) -> None:
        """Releases the engine; containers keep running."""
        await self._engine.close()

    def check(self, definition: Definition) -> None:
        """Refuses jobs without an image.

        Raises:
            ExecutionError: The job names no image.
        """
        if not is_build(definition):
            image_of(definition)

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        """Finds, pulls or builds the image.

        Raises:
            ExecutionError: The image is not available.
        """
        for _ in range(_TRIES - 1):
            try:
                return await self._prepare(spec, report)
            except ExecutionError as error:
                if not await self._engine.wait_until_back(error):
                    raise
        return await self._prepare(spec, report)

    async def _prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        definition = spec.definition
        build = definition.build
        with explained("get the image"):
            if build is not None and is_build(definition):
                await self._engine.ensure_network_rules()
                made = await self._engine.builder.ensure(
                    build, spec.fetch or _no_blobs, report, self._engine.build_limits()
                )
                self._choose(spec.key, _Chosen(made.image.id, made.image.digest, made.origin, made.image.volumes))
                return
            platform = (build.platform or "") if build is not None else ""
            image = await self._engine.images.ensure(image_of(definition), report, platform=platform)
            self._choose(spec.key, _Chosen(image.id, image.digest, volumes=image.volumes))

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Creates, starts and follows the attempt's container.

        Raises:
            ExecutionError: The container could not be created or started, or wrote too much.
            Interrupted: The engine was stopped while the container ran.
        """
        if self._engine.lacks_network:
            report.say("this worker's jobs have no network, because it can't keep them from its own private networks")
        async with self._removed_on_failure(spec.key):
            container, lines = await self._begin(spec, report)
            report.phase(Phase.RUNNING)
            return self._to_result(spec, await self._run(container, lines, spec).to_its_end(None))

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Follows a container that an earlier process started.

        Raises:
            ExecutionError: The container does not exist any more.
            Interrupted: The engine was stopped while the container ran, or its network has lost its rules.
        """
        async with self._removed_on_failure(spec.key):
            with explained("find the container from before the restart"):
                name = container_name(self._incarnation, spec.key)
                container = await self._engine.docker.containers.get(name)
                found = await container.show()
            state = found["State"]
            if self._engine.lost(str(found.get("HostConfig", {}).get("NetworkMode", ""))):
                raise Interrupted("the rules of the container's network can't be set any more")
            self._choose(spec.key, await self._image_of(found))
            lines = EngineLog(self._engine.docker, container.id, report, spec.folder.root / "checkpoint")
            lines.load()
            if state["Status"] == "created":
                await self._engine.ensure_network_rules()
                await self._start(container)
                state = {}
            report.phase(Phase.RUNNING)
            return self._to_result(spec, await self._run(container, lines, spec).to_its_end(state.get("StartedAt")))

    async def remove(self, key: Key) -> None:
        """Kills and removes the attempt's container, if there is one."""
        await self._delete(container_name(self._incarnation, key))
        if (chosen := self._chosen.pop(key, None)) is not None:
            self._engine.image_usage.let_go(chosen.image)

    async def sweep(self, known: set[Key]) -> set[Key]:
        """Removes this worker's containers except those in ``known``; returns the ones of ``known`` that exist."""
        found: set[Key] = set()
        label = f"{LABEL_WORKER}={self._incarnation}"
        containers = await self._engine.docker.containers.list(all=True, filters=f'{{"label": ["{label}"]}}')
        for container in containers:
            labels: dict[str, str] = container["Labels"]
            number = labels.get(LABEL_ATTEMPT, "")
            key = (labels.get(LABEL_JOB, ""), int(number) if number.isdigit() else -1)
            if key in known:
                found.add(key)
            else:
                log.info("removing container %s, left by an earlier run", container.id[:12])
                await self._delete(container.id)
        return found

    # ------------------------------------------------------------------------------------------------- the parts

    def _choose(self, key: Key, chosen: _Chosen) -> None:
        """Fixes the image of an attempt, and keeps it from being cleaned up until the attempt is removed."""
        if (before := self._chosen.get(key)) is not None:
            self._engine.image_usage.let_go(before.image)
        self._chosen[key] = chosen
        self._engine.image_usage.hold(chosen.image)

    @property
    def _confines(self) -> Confines:
        return self._engine.confines(self._incarnation)

    def _run(self, container: DockerContainer, lines: EngineLog, spec: AttemptSpec) -> ContainerRun:
        engine = self._engine
        return ContainerRun(
            engine,
            container,
            lines,
            time_limit=spec.time_limit,
            grace=engine.choices.stop_grace,
            watch=partial(outgrown, engine.guard, engine.docker, container.id, spec.folder.outputs, spec.cache),
        )

    async def _image_of(self, found: dict[str, Any]) -> _Chosen:
        """Finds the image that a container of an earlier process runs, as far as the engine still knows."""
        image = str(found.get("Image", ""))
        try:
            about = await self._engine.docker.images.inspect(image)
        except LOST:
            return _Chosen(image, image)
        digests = about.get("RepoDigests") or []
        return _Chosen(image, str(digests[0]).partition("@")[2] if digests else image)

    async def _begin(self, spec: AttemptSpec, report: Reporter) -> tuple[DockerContainer, EngineLog]:
        """Creates and starts a container; tries again if the engine went away meanwhile."""
        for tries_left in reversed(range(_TRIES)):
            try:
                async with _meanwhile(self._engine.ensure_network_rules()):
                    container = await self._create(spec)
                lines = EngineLog(self._engine.docker, container.id, report, spec.folder.root / "checkpoint")
                lines.begin()
                await self._start(container)
                return container, lines
            except ExecutionError as error:
                if not tries_left or not await self._engine.wait_until_back(error):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _create(self, spec: AttemptSpec) -> DockerContainer:
        chosen = self._chosen[spec.key]
        container = await self._created(spec, chosen)
        if chosen.image not in self._engine.without_links:
            await check_links(self._engine.docker, container.id, chosen.volumes)
            self._engine.looked_into(chosen.image)
        return container

    async def _created(self, spec: AttemptSpec, chosen: _Chosen) -> DockerContainer:
        name = container_name(self._incarnation, spec.key)
        create = self._engine.docker.containers.create
        config = container_config(spec, chosen.image, self._confines, chosen.volumes)
        with explained("create the container"):
            try:
                return await to_its_end(create(config, name=name))
            except DockerError as error:
                if error.status != 409:
                    raise
            await self._delete(name)
            config = container_config(spec, chosen.image, self._confines, chosen.volumes)
            return await to_its_end(create(config, name=name))

    async def _start(self, container: DockerContainer) -> None:
        try:
            await container.start()
        except DockerError as error:
            fault = "job" if error.status in (400, 404) else "worker"
            raise ExecutionError(f"the container could not be started: {short(error)}", fault=fault) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ExecutionError(f"the engine went away at the start: {error}", fault="worker") from error

    def _to_result(self, spec: AttemptSpec, end: End) -> Ended:
        """Translates the end of a container into the result of the run."""
        chosen = self._chosen.get(spec.key, _Chosen("", ""))
        code = end.exit_code

        def ended(kind: Any, message: str = "") -> Ended:
            return Ended(kind, code, message, chosen.digest, chosen.origin)

        if end.interrupted:
            raise Interrupted("the container engine was stopped while the job ran")
        if end.outgrown is not None:
            raise ExecutionError(end.outgrown.message, fault=end.outgrown.fault)
        if end.timed_out:
            return ended("timed_out", end.timed_out)
        short_of_memory = ""
        if end.out_of_memory:
            memory = self._confines.memory_of(spec.shape)
            may = f"the {format_size(memory)} that it may have" if memory else "it may have"
            short_of_memory = f"needed more memory than {may}; ask for more in requirements.memory"
            if code == _KILLED:
                return ended("out_of_memory", f"it {short_of_memory}")
        if end.error and code in (126, 127, 128):
            raise ExecutionError(f"the container could not be started: {end.error}")
        # A process of the job was killed, and the command went on and chose an exit code of its own.
        return ended(
            "exited", f"a process of the job was killed, because it {short_of_memory}" if short_of_memory else ""
        )

    @contextlib.asynccontextmanager
    async def _removed_on_failure(self, key: Key) -> AsyncIterator[None]:
        """Kills and removes the container when the block is cancelled or fails."""
        try:
            yield
        except BaseException as error:
            await self.remove(key)
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from error
            raise

    async def _delete(self, container: str) -> None:
        """Removes a container by id or name, running or not; tries again while the engine is busy with it."""
        problem: Exception | None = None
        for wait in _DELETE_PAUSES:
            await asyncio.sleep(wait)
            try:
                await self._engine.docker.containers.container(container).delete(force=True, v=True)
            except DockerError as error:
                if error.status == 404:
                    return
                problem = error
            except (aiohttp.ClientError, OSError) as error:
                problem = error
            else:
                return
        log.warning("container %s could not be removed: %s", container, problem)


@contextlib.asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs a coroutine beside the block; its end is awaited, and its error raised, at the end of the block."""
    task = asyncio.ensure_future(work)
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _no_blobs(sha256: str, target: object, most: int) -> None:
    raise ExecutionError(f"the files {sha256} of the build can't be fetched here", fault="worker")
