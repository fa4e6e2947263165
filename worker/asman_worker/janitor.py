"""Keeps the worker's disk within bounds and its network rules in place, and removes leftovers of dead workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from asman_shared.errors import AsmanError, ExecutionError

from .containers.shared_engine import SharedEngine
from .files.cache import FileCache
from .files.set_bits import strip_set_bits
from .files.trim import trim_folder
from .images.engine import LOST
from .images.usage import ImageUsage
from .oci.host import OciHost

log = logging.getLogger("asman.worker.janitor")

_ROUND_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 5.0


class Janitor:
    """The janitor of a worker process.

    Args:
        inputs: The cache of inputs.
        image_usage: The worker's own images.
        engine: The engine, if there is one.
        shared: The ``/job-cache`` folder of each queue.
        oci: The machine for containers without an engine, if they are used.
        most: Largest size of each such folder, in bytes; 0 for no limit.
        age: Time after which an unused file in them is removed, in seconds; 0 for never.
    """

    def __init__(
        self,
        inputs: FileCache,
        image_usage: ImageUsage,
        engine: SharedEngine | None,
        shared: Sequence[Path],
        oci: OciHost | None = None,
        *,
        most: int,
        age: float,
    ) -> None:
        self._inputs = inputs
        self._image_usage = image_usage
        self._engine = engine
        self._shared = shared
        self._oci = oci
        self._most = most
        self._age = age

    async def run(self) -> None:
        """Cleans up periodically until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for means in (self._engine, self._oci):
                if means is not None:
                    tasks.create_task(self._watch(means))
            while True:
                await self.round()
                await asyncio.sleep(_ROUND_SECONDS)

    async def _watch(self, means: SharedEngine | OciHost) -> None:
        """Checks the network rules of running containers at intervals."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await means.ensure_network_rules()
            except (*LOST, ExecutionError) as error:
                log.warning("%s", error)

    async def round(self) -> None:
        """Cleans up once; what fails is left for the next round, and the rest is cleaned up all the same."""
        await self._part("the cache of inputs", lambda: asyncio.to_thread(self._inputs.trim))
        trim, strip = (self._oci.files.trim, self._oci.files.strip) if self._oci else (trim_folder, strip_set_bits)
        for folder in self._shared:
            await self._part("a job cache", partial(asyncio.to_thread, trim, folder, self._most, self._age))
            await self._part("the set-id bits in it", partial(asyncio.to_thread, strip, folder))
        if (engine := self._engine) is not None:
            await self._part("the images", lambda: self._image_usage.trim(engine.docker))
            await self._part("the leftovers of dead workers", engine.clear_leftovers)
        if self._oci is not None:
            await self._part("the images", self._oci.trim)
            await self._part("the leftovers of containers", self._oci.clear_leftovers)

    async def _part(self, what: str, work: Callable[[], Awaitable[object]]) -> None:
        """Runs a part of a round; a failure is logged."""
        try:
            await work()
        except (*LOST, AsmanError) as error:
            log.warning("cleaning up %s was interrupted: %s", what, error)
        except Exception:
            log.exception("cleaning up %s failed", what)
