"""Keeps the worker's disk within bounds and its network rules in place, and removes leftovers of dead workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from asman_shared.errors import AsmanError, ExecutionError

from .containers.shared_engine import SharedEngine
from .files.cache import FileCache
from .files.set_bits import strip_set_bits
from .images.engine import LOST
from .images.usage import ImageUsage

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
        most: Largest size of each such folder, in bytes; 0 for no limit.
        age: Time after which an unused file in them is removed, in seconds; 0 for never.
    """

    def __init__(
        self,
        inputs: FileCache,
        image_usage: ImageUsage,
        engine: SharedEngine | None,
        shared: Sequence[Path],
        *,
        most: int,
        age: float,
    ) -> None:
        self._inputs = inputs
        self._image_usage = image_usage
        self._engine = engine
        self._shared = shared
        self._most = most
        self._age = age

    async def run(self) -> None:
        """Cleans up periodically until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._engine is not None:
                tasks.create_task(self._watch(self._engine))
            while True:
                await self.round()
                await asyncio.sleep(_ROUND_SECONDS)

    async def _watch(self, engine: SharedEngine) -> None:
        """Checks the network rules of running containers at intervals."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await engine.ensure_network_rules()
            except (*LOST, ExecutionError) as error:
                log.warning("%s", error)

    async def round(self) -> None:
        """Cleans up once; what fails is left for the next round, and the rest is cleaned up all the same."""
        await self._part("the cache of inputs", lambda: asyncio.to_thread(self._inputs.trim))
        for folder in self._shared:
            await self._part("a job cache", partial(asyncio.to_thread, trim_folder, folder, self._most, self._age))
            await self._part("the set-id bits in it", partial(asyncio.to_thread, strip_set_bits, folder))
        if (engine := self._engine) is not None:
            await self._part("the images", lambda: self._image_usage.trim(engine.docker))
            await self._part("the leftovers of dead workers", engine.clear_leftovers)

    async def _part(self, what: str, work: Callable[[], Awaitable[object]]) -> None:
        """Runs a part of a round; a failure is logged."""
        try:
            await work()
        except (*LOST, AsmanError) as error:
            log.warning("cleaning up %s was interrupted: %s", what, error)
        except Exception:
            log.exception("cleaning up %s failed", what)


def trim_folder(folder: Path, most: int, age: float) -> int:
    """Removes files that are unused for long, and the least recently used ones over the limit; blocks.

    Links are removed as links and never followed. A folder that does not exist is empty.

    Returns:
        The number of bytes left.
    """
    found: list[tuple[float, int, str]] = []
    # The folder, or one in it, may also go while it is read.
    with contextlib.suppress(FileNotFoundError):
        for root, _, names, at in os.fwalk(folder, follow_symlinks=False):
            for name in names:
                with contextlib.suppress(OSError):
                    about = os.stat(name, dir_fd=at, follow_symlinks=False)
                    used = max(about.st_mtime, about.st_atime)
                    found.append((used, about.st_blocks * 512, os.path.relpath(os.path.join(root, name), folder)))  # noqa: PTH118
    left = 0
    oldest = time.time() - age if age else 0.0
    for used, size, name in sorted(found, reverse=True):
        if used < oldest or (most and left + size > most):
            _unlink(folder, name)
        else:
            left += size
    return left


def _unlink(folder: Path, name: str) -> None:
    """Removes a file below a folder, without following a link that a job may put into its path meanwhile."""
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    *parents, last = name.split("/")
    try:
        for part in parents:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = inner
        os.unlink(last, dir_fd=at)
    except OSError as error:
        log.debug("can't remove a file of a job cache: %s", error)
    finally:
        os.close(at)
