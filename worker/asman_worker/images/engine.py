"""Connects to a container engine, and translates its errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
from collections.abc import AsyncGenerator, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import aiohttp
from aiodocker import Docker
from aiodocker.exceptions import DockerError
from aiodocker.jsonstream import json_stream_stream

from asman_shared.errors import ExecutionError, Unavailable

from .engine_words import LOGGED, blames_job, logged, told

log = logging.getLogger("asman.worker.engine")

T = TypeVar("T")

ANSWER_SECONDS: Final = 20.0
"""Longest time that an engine may take to say its version before it counts as not answering, in seconds."""
CALL: Final = aiohttp.ClientTimeout(total=120, sock_connect=10)
"""Time limits of a call that is answered at once, in seconds; reading logs and waiting for a container have none."""
_WITHOUT: Final = (
    "or choose --executor oci, which needs no engine ('asman doctor' says whether it works here), or --executor "
    "process, which isolates nothing"
)
_LEAVING: Final = (
    "context canceled",
    "connection is closing",
    "transport is closing",
    "shutting down",
    "code = Unavailable",
)
_PID_MAX: Final = Path("/proc/sys/kernel/pid_max")
_PIDS: Final = 32768
_FILES: Final = 1_048_576
LOST: Final = (DockerError, aiohttp.ClientError, OSError, ValueError)
"""Errors that a call raises when the engine refuses it or is away."""


async def open_engine(url: str = "") -> tuple[Docker, dict[str, Any]]:
    """Connects to an engine; returns its client and its answer about its version.

    Args:
        url: The engine's address; empty to discover it (``DOCKER_HOST``, then well-known sockets).

    Raises:
        Unavailable: No engine answers.
    """
    try:
        engine = _connect(url)
    except (AssertionError, ValueError, OSError) as error:
        raise Unavailable(
            f"no container engine was found: start Docker, name one with --docker or DOCKER_HOST, {_WITHOUT}"
        ) from error
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return engine, await ask(engine)
    except (*LOST, TimeoutError) as error:
        await close_engine(engine)
        why = str(error) or f"nothing came within {ANSWER_SECONDS:g} s"
        raise Unavailable(
            f"the container engine does not answer ({why}): start it, or start it again if it hangs, name another with "
            f"--docker, {_WITHOUT}"
        ) from error


async def ask(engine: Docker) -> dict[str, Any]:
    """Returns an engine's answer about its version, after it has answered about its containers, too.

    An engine that hangs often goes on to say its version.
    """
    version = await engine.version()
    await engine.containers.list(limit=1)
    return version


def is_podman(version: dict[str, Any]) -> bool:
    """Whether an engine's answer about its version is Podman's."""
    return any(str(each.get("Name", "")).startswith("Podman") for each in version.get("Components") or ())


def own_ulimits() -> tuple[tuple[str, int], ...]:
    """Returns this process's limits of open files and processes.

    Without such limits Podman gives a container more than a machine without ``CAP_SYS_RESOURCE`` can set, and fails.
    Podman also refuses more processes than there are process ids.
    """
    numbers = int(_PID_MAX.read_text()) if _PID_MAX.exists() else _PIDS
    bounds = (("nofile", resource.RLIMIT_NOFILE, _FILES), ("nproc", resource.RLIMIT_NPROC, numbers))
    hard = [(name, resource.getrlimit(which)[1], most) for name, which, most in bounds]
    return tuple((name, most if bound == resource.RLIM_INFINITY else min(bound, most)) for name, bound, most in hard)


async def close_engine(engine: Docker) -> None:
    """Closes the connections to an engine; containers keep running."""
    connector = engine.connector
    await engine.close()
    await connector.close()


def _connect(url: str) -> Docker:
    """Makes a client without a limit of connections, because each running container holds two.

    Raises:
        ValueError: No engine is named, and none listens at a usual place.
    """
    url = url or os.environ.get("DOCKER_HOST", "")
    if not url:
        found = next((path for path in _sockets() if path.is_socket()), None)
        if found is None:
            raise ValueError("no socket of an engine was found")
        url = f"unix://{found}"
    if not url.startswith("unix://"):
        return Docker(url, timeout=CALL)
    # With a connector of our own, aiodocker needs a host name that stands for the socket.
    connector = aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0)
    return Docker("unix://localhost", connector=connector, timeout=CALL)


def _sockets() -> Iterator[Path]:
    """Yields the sockets at which engines usually listen: Docker, Docker in a home folder, Podman."""
    yield Path("/var/run/docker.sock")
    yield Path.home() / ".docker" / "run" / "docker.sock"
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "docker.sock"
        yield Path(runtime) / "podman" / "podman.sock"
    yield Path("/run/podman/podman.sock")


def refused(what: str, error: Exception, *, fault: Literal["job", "worker"] | None = None) -> ExecutionError:
    """Makes the error of an engine that refused something or went away; its whole text goes to the log alone.

    Args:
        what: The thing that could not be done, as a sentence.
        error: The engine's error.
        fault: Who is to blame; by default the job for what the engine calls a bad request or says of the
            job's own texts, else the worker.
    """
    if isinstance(error, DockerError):
        log.warning("%s: the engine says (%d) %s", what, error.status, logged(error.message))
        blamed: Literal["job", "worker"] = "worker"
        if error.status in (400, 404) or blames_job(error.message):
            blamed = "job"
        return ExecutionError(f"{what}: {told(error.message) or LOGGED}", fault=fault or blamed)
    log.warning("%s: the engine went away: %s", what, error)
    return ExecutionError(f"{what}: the engine went away", fault=fault or "worker")


async def to_its_end(creating: Coroutine[Any, Any, T]) -> T:
    """Finishes making an object even if cancelled: an object without a known id could not be removed."""
    task = asyncio.ensure_future(creating)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


async def stream(
    docker: Docker, path: str, params: dict[str, str], *, headers: dict[str, str] | None = None, data: Any = None
) -> AsyncGenerator[dict[str, Any], None]:
    """Posts a long request, and yields the engine's reports item by item; closing it cancels the work.

    aiodocker's own streams leave the response open when they are cancelled, so this goes below them.

    Raises:
        DockerError: The engine refuses the request, or the work fails.
    """
    async with docker._query(
        path, "POST", params=params, data=data, headers=headers, timeout=aiohttp.ClientTimeout(total=None)
    ) as response:
        try:
            async for item in json_stream_stream(response):
                yield item
        finally:
            response.close()


def cut_off(error: BaseException | None) -> bool:
    """Whether an error means that the engine was not reached, or was being stopped.

    For an engine that does not listen, aiodocker raises an error of its own with status 900. An engine that is being
    stopped still answers, with an error about its own failure.
    """
    if isinstance(error, DockerError):
        return error.status == 900 or (error.status >= 500 and any(word in error.message for word in _LEAVING))
    return isinstance(error, aiohttp.ClientError | OSError)


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns the engine's errors into errors that name the failed action and the fault."""
    try:
        yield
    except (DockerError, aiohttp.ClientError, OSError) as error:
        raise refused(f"the engine could not {what}", error) from error
