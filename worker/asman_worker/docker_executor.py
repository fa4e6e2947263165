"""Runs attempts in containers of a Docker Engine, or of anything that speaks its API, such as Podman."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiodocker import Docker
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError

from asman_shared.definition import Definition
from asman_shared.errors import ExecutionError, Unavailable
from asman_shared.states import Phase
from asman_shared.units import format_duration

from .container import (
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_WORKER,
    Confines,
    container_config,
    container_name,
    image_of,
)
from .engine_log import EngineLog
from .executor import AttemptSpec, Ended, Key, Reporter
from .images import Images

log = logging.getLogger("asman.worker.docker")

_ENGINE_AWAY_SECONDS: Final = 120.0
_LOST = (DockerError, aiohttp.ClientError, OSError, ValueError)


class DockerExecutor:
    """Containers, one per attempt.

    Args:
        confines: What holds for every container.
        url: The engine's address; empty to discover it (``DOCKER_HOST``, the current context, well-known sockets).
        stop_grace: Milliseconds between SIGTERM and SIGKILL when a time limit has passed.
    """

    name = "docker"
    uses_folder = True
    resumes = True

    def __init__(self, confines: Confines, *, url: str = "", stop_grace: int = 5000) -> None:
        self._confines = confines
        self._url = url
        self._grace = stop_grace
        self._engine: Docker | None = None
        self._images: Images | None = None
        self._digests: dict[Key, str] = {}

    async def open(self) -> str:
        """Connects to the engine; returns its platform.

        Raises:
            Unavailable: No engine answers.
        """
        try:
            self._engine = _connect(self._url)
        except (AssertionError, ValueError, OSError) as error:
            raise Unavailable(
                "no container engine was found: start Docker, name one with --docker or DOCKER_HOST, "
                "or choose --executor process"
            ) from error
        try:
            version = await self._engine.version()
        except (*_LOST, TimeoutError) as error:
            await self.close()
            raise Unavailable(
                f"the container engine does not answer ({error}): start it, name another with --docker, "
                "or choose --executor process"
            ) from error
        self._images = Images(self._engine)
        return f"{version.get('Os', 'linux')}/{version.get('Arch', '')}"

    async def close(self) -> None:
        """Closes the connection to the engine; containers run on."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            connector = engine.connector
            await engine.close()
            await connector.close()

    def check(self, definition: Definition) -> None:
        """Refuses jobs without an image.

        Raises:
            ExecutionError: Why.
        """
        image_of(definition)

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        """Pulls the image unless it is there.

        Raises:
            ExecutionError: It can't be had.
        """
        assert self._images is not None  # noqa: S101 - open() came first
        with _explained("look for the image"):
            self._digests[spec.key] = await self._images.ensure(image_of(spec.definition), report)

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Creates, starts and follows the attempt's container.

        Raises:
            ExecutionError: It could not be created or started.
        """
        async with self._removed_on_failure(spec.key):
            container = await self._create(spec)
            lines = EngineLog(self._docker, container.id, report, spec.folder.root / "checkpoint")
            lines.begin()
            await self._start(container)
            report.phase(Phase.RUNNING)
            return await self._follow(container, spec, lines, None)

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Follows the container that an earlier process left.

        Raises:
            ExecutionError: It is gone.
        """
        async with self._removed_on_failure(spec.key):
            with _explained("find the container of before the restart"):
                container = await self._docker.containers.get(container_name(self._confines.incarnation, spec.key))
            state = (await container.show())["State"]
            lines = EngineLog(self._docker, container.id, report, spec.folder.root / "checkpoint")
            lines.load()
            if state["Status"] == "created":
                await self._start(container)
                state = {}
            report.phase(Phase.RUNNING)
            return await self._follow(container, spec, lines, state.get("StartedAt"))

    async def remove(self, key: Key) -> None:
        """Kills and removes the attempt's container; quiet when there is none."""
        self._digests.pop(key, None)
        await self._delete(container_name(self._confines.incarnation, key))

    async def sweep(self, known: set[Key]) -> set[Key]:
        """Removes this worker's own containers but those in ``known``; returns which of them are there."""
        found: set[Key] = set()
        label = f"{LABEL_WORKER}={self._confines.incarnation}"
        containers = await self._docker.containers.list(all=True, filters=f'{{"label": ["{label}"]}}')
        for container in containers:
            labels: dict[str, str] = container["Labels"]
            key = (labels.get(LABEL_JOB, ""), int(labels.get(LABEL_ATTEMPT, "-1")))
            if key in known:
                found.add(key)
            else:
                log.info("removing container %s, which an earlier run left", container.id[:12])
                await self._delete(container.id)
        return found

    # ------------------------------------------------------------------------------------------------- the parts

    @property
    def _docker(self) -> Docker:
        assert self._engine is not None  # noqa: S101 - open() came first
        return self._engine

    async def _create(self, spec: AttemptSpec) -> DockerContainer:
        image = image_of(spec.definition)
        config = container_config(spec, image, self._confines)
        name = container_name(self._confines.incarnation, spec.key)
        with _explained("create the container"):
            try:
                return await _to_its_end(self._docker.containers.create(config, name=name))
            except DockerError as error:
                if error.status != 409:
                    raise
            await self._delete(name)
            return await _to_its_end(self._docker.containers.create(config, name=name))

    async def _start(self, container: DockerContainer) -> None:
        try:
            await container.start()
        except DockerError as error:
            fault = "job" if error.status in (400, 404) else "worker"
            raise ExecutionError(f"the container could not be started: {_short(error)}", fault=fault) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ExecutionError(f"the engine went away at the start: {error}", fault="worker") from error

    async def _follow(
        self, container: DockerContainer, spec: AttemptSpec, lines: EngineLog, started: str | None
    ) -> Ended:
        """Waits for the container's end and for the end of its log, whichever is later."""
        ended = asyncio.Event()
        limit = spec.time_limit / 1000
        timed_out = False
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(lines.follow(ended))
            try:
                async with asyncio.timeout(max(0.001, limit - _age(started)) if limit else None):
                    await self._ended(container)
            except TimeoutError:
                timed_out = True
                await self._stop(container)
            ended.set()
        return await self._judge(container, spec, timed_out)

    async def _judge(self, container: DockerContainer, spec: AttemptSpec, timed_out: bool) -> Ended:
        state = (await self._inspect(container))["State"]
        digest = self._digests.get(spec.key, "")
        code: int = state["ExitCode"]
        if timed_out:
            limit = format_duration(spec.time_limit)
            return Ended("timed_out", code, f"stopped: it ran into its time limit of {limit}", digest)
        if state.get("OOMKilled") and code != 0:
            return Ended("out_of_memory", code, "it needed more memory than it may have", digest)
        if state.get("Error") and code in (126, 127, 128):
            raise ExecutionError(f"the container could not be started: {state['Error']}")
        return Ended("exited", code, "", digest)

    async def _ended(self, container: DockerContainer) -> None:
        """Waits until the container has ended, through restarts of the engine."""
        while True:
            try:
                await container.wait()
            except _LOST as error:
                log.debug("waiting for %s broke: %s", container.id[:12], error)
            if not (await self._inspect(container))["State"]["Running"]:
                return

    async def _inspect(self, container: DockerContainer) -> dict[str, Any]:
        """The engine's word on a container; waits while the engine is away.

        Raises:
            ExecutionError: The container is gone, or the engine stays away.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _ENGINE_AWAY_SECONDS
        while True:
            try:
                return await container.show()
            except _LOST as error:
                if isinstance(error, DockerError) and error.status == 404:
                    raise ExecutionError("someone removed the container while it ran", fault="worker") from error
                if loop.time() > deadline:
                    raise ExecutionError(f"the engine went away: {error}", fault="worker") from error
            await asyncio.sleep(0.5)

    async def _stop(self, container: DockerContainer) -> None:
        """SIGTERM, and SIGKILL after the grace."""
        for _ in range(10):
            try:
                await container.stop(t=max(1, round(self._grace / 1000)))
            except _LOST as error:
                log.warning("stopping %s failed: %s", container.id[:12], error)
            if not (await self._inspect(container))["State"]["Running"]:
                return
            await asyncio.sleep(0.5)
        raise ExecutionError("the engine can't stop the container", fault="worker")

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
        for wait in (0.0, 0.1, 0.5, 2.0):
            await asyncio.sleep(wait)
            try:
                await self._docker.containers.container(container).delete(force=True, v=True)
            except DockerError as error:
                if error.status == 404:
                    return
                problem: Exception = error
            except (aiohttp.ClientError, OSError) as error:
                problem = error
            else:
                return
        log.warning("container %s could not be removed: %s", container, problem)


def _connect(url: str) -> Docker:
    """A client without a bound on connections: each running container holds two.

    Raises:
        ValueError: No engine is named, and none is at a usual place.
    """
    url = url or os.environ.get("DOCKER_HOST", "")
    if not url:
        found = next((path for path in _sockets() if path.is_socket()), None)
        if found is None:
            raise ValueError("no socket of an engine")
        url = f"unix://{found}"
    if not url.startswith("unix://"):
        return Docker(url)
    # Given a connector of ours, aiodocker wants a host name that stands for the socket.
    return Docker("unix://localhost", connector=aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0))


def _sockets() -> Iterator[Path]:
    """Where engines usually listen: Docker, Docker in a home folder, Podman."""
    yield Path("/var/run/docker.sock")
    yield Path.home() / ".docker" / "run" / "docker.sock"
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "docker.sock"
        yield Path(runtime) / "podman" / "podman.sock"
    yield Path("/run/podman/podman.sock")


def _age(started: str | None) -> float:
    """Seconds since a container's ``StartedAt``."""
    if not started:
        return 0.0
    try:
        then = datetime.fromisoformat(started[:19]).replace(tzinfo=UTC)
    except ValueError:
        return 0.0
    return max(0.0, (datetime.now(UTC) - then).total_seconds())


def _short(error: DockerError) -> str:
    """The telling end of the engine's message, such as ``exec: "foo": executable file not found in $PATH``."""
    text = error.message.strip().removesuffix(": unknown")
    for marker in ("exec: ", "starting container process caused: "):
        if marker in text:
            return text[text.index(marker) :]
    return text


async def _to_its_end(creating: Coroutine[Any, Any, DockerContainer]) -> DockerContainer:
    """Creates a container even when cancelled meanwhile: one that is made unseen could not be removed."""
    task = asyncio.ensure_future(creating)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turns the engine's errors into ones that say what could not be done, and whose fault it is."""
    try:
        yield
    except DockerError as error:
        fault = "job" if error.status in (400, 404) else "worker"
        raise ExecutionError(f"the engine could not {what}: {_short(error)}", fault=fault) from error
    except (aiohttp.ClientError, OSError) as error:
        raise ExecutionError(f"the engine could not {what}: {error}", fault="worker") from error
