"""Images on the engine: found, or pulled once for all jobs that wait for the same one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_shared.errors import ExecutionError
from asman_shared.states import Phase

from .executor import Reporter

_PROGRESS_SECONDS = 0.5


class Images:
    """The images of one engine.

    Args:
        docker: The engine.
    """

    def __init__(self, docker: Docker) -> None:
        self._docker = docker
        self._pulls: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, image: str, report: Reporter) -> str:
        """Pulls an image unless it is there; returns what its digest is.

        Raises:
            ExecutionError: It can't be pulled.
        """
        if (digest := await self._digest(image)) is not None:
            return digest
        async with self._pulls[image]:
            if (digest := await self._digest(image)) is not None:
                return digest
            report.phase(Phase.PULLING)
            await self._pull(image, report)
            if (digest := await self._digest(image)) is not None:
                return digest
        raise ExecutionError(f"image '{image}' was pulled and is not there; is its name right?")

    async def _digest(self, image: str) -> str | None:
        try:
            found: dict[str, Any] = await self._docker.images.inspect(image)
        except DockerError as error:
            if error.status == 404:
                return None
            if error.status == 400:
                raise ExecutionError(f"image '{image}' could not be looked up: {error.message}") from error
            raise
        digests = found.get("RepoDigests") or []
        return str(digests[0]).partition("@")[2] if digests else str(found["Id"])

    async def _pull(self, image: str, report: Reporter) -> None:
        layers: dict[str, tuple[int, int]] = {}
        loop = asyncio.get_running_loop()
        said = loop.time()
        try:
            async with contextlib.aclosing(self._docker.images.pull(image, stream=True)) as news:  # type: ignore[type-var]
                async for item in news:
                    detail = item.get("progressDetail") or {}
                    if item.get("status") == "Downloading" and detail.get("total"):
                        layers[item["id"]] = (int(detail.get("current", 0)), int(detail["total"]))
                    elif item.get("status") == "Download complete" and item.get("id") in layers:
                        layers[item["id"]] = (layers[item["id"]][1],) * 2
                    if layers and loop.time() - said > _PROGRESS_SECONDS:
                        said = loop.time()
                        done, total = (sum(part[index] for part in layers.values()) for index in (0, 1))
                        report.phase(Phase.PULLING, done, total, "bytes")
        except DockerError as error:
            raise ExecutionError(f"image '{image}' could not be pulled: {error.message.strip()}") from error
