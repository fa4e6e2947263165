"""Runs attempts in containers of a Docker Engine, or of another engine with its API, such as Podman."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import aiohttp
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError

from asman_shared.definition import VOLUMES_TAG, Definition, Source
from asman_shared.errors import ExecutionError
from asman_shared.states import Phase

from ..execution.container_end import End, Limits, removed_on_failure
from ..execution.disk_use import Account
from ..execution.interface import AttemptSpec, Ended, Interrupted, Key, Reporter
from ..images.engine import CALL, LOST, explained, refused, to_its_end
from ..images.engine_words import LOGGED, logged, told
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
from .disk_watch import Watch, watching
from .image_volumes import check_links
from .log import EngineLog
from .run import ContainerRun
from .shared_engine import OPEN, SharedEngine
from .steps import Course, commands_of, course_of, end_of_job
from .streams import log_ends

log = logging.getLogger("asman.worker.docker")

_TRIES: Final = 10
_REACHES: Final = {NO_NETWORK: ", no network", OPEN: ", open network"}
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
    own_tags: tuple[str, ...] = (VOLUMES_TAG,)
    sources: tuple[Source, ...] = ("image", "build")

    def __init__(self, engine: SharedEngine, incarnation: str) -> None:
        self._engine = engine
        self._incarnation = incarnation
        self._chosen: dict[Key, list[_Chosen]] = {}

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
        """Fixes the image of each command; each is brought once, and kept while others are."""
        found: dict[str | None, _Chosen] = {}
        for command in commands_of(spec):
            if (name := command.definition.image) not in found:
                found[name] = await self._brought(command, report)
                self._choose(spec.key, list(found.values()))
        self._choose(spec.key, [found[each.definition.image] for each in commands_of(spec)])

    async def _brought(self, spec: AttemptSpec, report: Reporter) -> _Chosen:
        definition = spec.definition
        build = definition.build
        with explained("get the image"):
            if build is not None and is_build(definition):
                await self._engine.ensure_network_rules()
                made = await self._engine.builder.ensure(
                    build, spec.fetch or _no_blobs, report, self._engine.build_limits(), hub=spec.url
                )
                return _Chosen(made.image.id, made.image.digest, made.origin, made.image.volumes)
            platform = (build.platform or "") if build is not None else ""
            image = await self._engine.images.ensure(image_of(definition), report, platform=platform)
            return _Chosen(image.id, image.digest, volumes=image.volumes)

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Creates, starts and follows the attempt's container, or one for each command of a job with steps.

        Raises:
            ExecutionError: The container could not be created or started, or wrote too much.
            Interrupted: The engine was stopped while the container ran.
        """
        if self._engine.lacks_network:
            report.say("this worker's jobs have no network, because it can't keep them from its own private networks")
        async with removed_on_failure(partial(self.remove, spec.key)):
            return await self._run_from(spec, report, Course.begin(report.next_line))

    async def _run_from(self, spec: AttemptSpec, report: Reporter, course: Course) -> Ended:
        """Runs the commands of a job from one on, each in a container of its own."""
        commands = commands_of(spec)
        while True:
            command = course.present(commands)
            account = course.account if len(commands) > 1 else None
            if account is not None:
                course.note(spec)
            async with contextlib.AsyncExitStack() as running:
                container, lines, watch = await self._begin(command, report, running, account)
                report.phase(Phase.RUNNING)
                ended = await self._followed(container, lines, command, watch, report)
            if len(commands) == 1:
                return ended
            if not await self._goes_on(commands, course, ended, report):
                return end_of_job(commands, course, ended)

    async def _goes_on(self, commands: list[AttemptSpec], course: Course, ended: Ended, report: Reporter) -> bool:
        """Notes the end of a command, and removes its container if another one is to run; returns whether."""
        command = commands[course.step]
        report.close_streams()
        if not course.ended(ended, report.next_line, ignored=command.definition.ignore_failure):
            return False
        if course.step == len(commands):
            return False
        await self._delete(container_name(self._incarnation, command.key, command.step))
        return True

    async def _followed(
        self,
        container: DockerContainer,
        lines: EngineLog,
        command: AttemptSpec,
        watch: Watch,
        report: Reporter,
        started: str | None = None,
    ) -> Ended:
        """Follows a command to its end, and puts what it wrote to files in the place of its streams into the log."""
        end = await self._run(container, lines, command, watch).to_its_end(started)
        await log_ends(command.definition, command.folder, report)
        return self._to_result(command, end)

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Follows a container that an earlier process started.

        Raises:
            ExecutionError: The container does not exist any more.
            Interrupted: The engine was stopped while the container ran, or its network has lost its rules.
        """
        commands = commands_of(spec)
        async with removed_on_failure(partial(self.remove, spec.key)):
            course = course_of(spec, report) if len(commands) > 1 else Course.begin(report.next_line)
            account = course.account if len(commands) > 1 else None
            ended = await self._resumed(course.present(commands), report, account)
            if len(commands) == 1:
                return ended
            if not await self._goes_on(commands, course, ended, report):
                return end_of_job(commands, course, ended)
            await self.prepare(spec, report)
            return await self._run_from(spec, report, course)

    async def _resumed(self, spec: AttemptSpec, report: Reporter, account: Account | None) -> Ended:
        """Follows the container of one command to its end."""
        async with self._watching(spec, account) as watch:
            with explained("find the container from before the restart"):
                name = container_name(self._incarnation, spec.key, spec.step)
                container = await self._engine.docker.containers.get(name)
                found = await container.show()
            state = found["State"]
            if self._engine.lost(str(found.get("HostConfig", {}).get("NetworkMode", ""))):
                raise Interrupted("the rules of the container's network can't be set any more")
            self._choose(spec.key, [await self._image_of(found)] * (spec.step + 1))
            lines = EngineLog(self._engine.docker, container.id, report, spec.folder.root / "checkpoint")
            lines.load()
            if state["Status"] == "created":
                await self._engine.ensure_network_rules()
                await self._start(container)
                state = {}
            report.phase(Phase.RUNNING)
            return await self._followed(container, lines, spec, watch, report, state.get("StartedAt"))

    async def remove(self, key: Key) -> None:
        """Kills and removes the attempt's container, if there is one."""
        chosen = self._chosen.pop(key, [])
        for step in range(len(chosen)):
            await self._delete(container_name(self._incarnation, key, step))
        for each in chosen:
            self._engine.image_usage.let_go(each.image)
        if not chosen:
            await self._remove_left(key)

    async def _remove_left(self, key: Key) -> None:
        """Removes the containers of an attempt that an earlier process ran; it may have been at any step."""
        with contextlib.suppress(*LOST):
            for container in await self._containers(f"{LABEL_JOB}={key[0]}", f"{LABEL_ATTEMPT}={key[1]}"):
                await self._delete(container.id)

    async def sweep(self, known: set[Key]) -> set[Key]:
        """Removes this worker's containers except those in ``known``; returns the ones of ``known`` that exist."""
        found: set[Key] = set()
        for container in await self._containers():
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

    async def _containers(self, *labels: str) -> list[DockerContainer]:
        """Returns the containers of this worker that have some labels."""
        wanted = {"label": [f"{LABEL_WORKER}={self._incarnation}", *labels]}
        found: list[DockerContainer] = await self._engine.docker.containers.list(all=True, filters=json.dumps(wanted))
        return found

    def _choose(self, key: Key, chosen: list[_Chosen]) -> None:
        """Fixes the images of an attempt, and keeps them from being cleaned up until the attempt is removed."""
        before = self._chosen.get(key, [])
        self._chosen[key] = chosen
        for each in chosen:
            self._engine.image_usage.hold(each.image)
        for each in before:
            self._engine.image_usage.let_go(each.image)

    @property
    def _confines(self) -> Confines:
        return self._engine.confines(self._incarnation)

    def _watching(self, spec: AttemptSpec, account: Account | None) -> contextlib.AbstractAsyncContextManager[Watch]:
        return watching(self._engine.guard, self._engine.docker, spec.folder.outputs, spec.cache, account)

    def _run(self, container: DockerContainer, lines: EngineLog, spec: AttemptSpec, watch: Watch) -> ContainerRun:
        engine = self._engine
        limits = Limits(spec.time_limit, spec.time_spent, engine.choices.stop_grace, partial(watch, container.id))
        return ContainerRun(engine, container, lines, limits)

    async def _image_of(self, found: dict[str, Any]) -> _Chosen:
        """Finds the image that a container of an earlier process runs, as far as the engine still knows."""
        image = str(found.get("Image", ""))
        try:
            about = await self._engine.docker.images.inspect(image)
        except LOST:
            return _Chosen(image, image)
        digests = about.get("RepoDigests") or []
        return _Chosen(image, str(digests[0]).partition("@")[2] if digests else image)

    async def _begin(
        self, spec: AttemptSpec, report: Reporter, running: contextlib.AsyncExitStack, account: Account | None
    ) -> tuple[DockerContainer, EngineLog, Watch]:
        """Creates a container and starts it, measured until ``running`` ends; tries again if the engine went away."""
        for tries_left in reversed(range(_TRIES)):
            try:
                async with _meanwhile(self._engine.ensure_network_rules()):
                    container = await self._create(spec)
                lines = EngineLog(self._engine.docker, container.id, report, spec.folder.root / "checkpoint")
                lines.begin()
                async with contextlib.AsyncExitStack() as begun:
                    watch = await begun.enter_async_context(self._watching(spec, account))
                    await self._start(container)
                    running.push_async_exit(begun.pop_all())
                return container, lines, watch
            except ExecutionError as error:
                if not tries_left or not await self._engine.wait_until_back(error):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _create(self, spec: AttemptSpec) -> DockerContainer:
        chosen = self._chosen[spec.key][spec.step]
        container = await self._created(spec, chosen)
        if chosen.image not in self._engine.without_links:
            await check_links(self._engine.docker, container.id, chosen.volumes)
            self._engine.looked_into(chosen.image)
        return container

    async def _created(self, spec: AttemptSpec, chosen: _Chosen) -> DockerContainer:
        name = container_name(self._incarnation, spec.key, spec.step)
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
        except (DockerError, aiohttp.ClientError, OSError) as error:
            raise refused("the container could not be started", error) from error

    def _to_result(self, spec: AttemptSpec, end: End) -> Ended:
        """Translates the end of a container into the result of the run."""
        chosen = self._chosen[spec.key][spec.step] if spec.key in self._chosen else _Chosen("", "")
        if end.interrupted:
            raise Interrupted("the container engine was stopped while the job ran")
        if end.outgrown is not None:
            raise ExecutionError(end.outgrown.message, fault=end.outgrown.fault)
        if end.error and not end.timed_out and end.exit_code in (126, 127, 128):
            log.warning("the container could not be started: the engine says %s", logged(end.error))
            raise ExecutionError(f"the container could not be started: {told(end.error) or LOGGED}")
        return end.result(self._confines.memory_of(spec.shape), chosen.digest, chosen.origin)

    async def _delete(self, container: str) -> None:
        """Removes a container by id or name, running or not; tries again while the engine is busy with it."""
        problem: Exception | None = None
        for wait in _DELETE_PAUSES:
            await asyncio.sleep(wait)
            try:
                await self._engine.docker.containers.container(container).delete(timeout=CALL, force=True, v=True)
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
