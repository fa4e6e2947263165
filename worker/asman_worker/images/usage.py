"""Tracks the images that this worker pulled and built, and removes those that were not used for long.

No other image on the engine is ever removed: the images that its owner pulled stay. A file records the worker's own
images and the last use of each, so that a restart does not lose them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from .engine import LOST

log = logging.getLogger("asman.worker.shelf")

_MOST: Final = 10_000


class ImageUsage:
    """The worker's own images, by id.

    Args:
        file: The file that records them.
        most: Largest size of all own images, in bytes; 0 for no limit.
        age: Time after which an unused image is removed, in seconds; 0 for never.
    """

    def __init__(self, file: Path, *, most: int = 0, age: float = 0) -> None:
        self._file = file
        self._most = most
        self._age = age
        self._used: dict[str, float] = {}
        self._holds: dict[str, int] = {}
        try:
            known = json.loads(file.read_bytes())
            self._used = {str(image): float(used) for image, used in list(known.items())[:_MOST]}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            log.warning("can't read the list of this worker's images, and begin a new one: %s", error)

    def own(self, image: str) -> None:
        """Records an image that this worker pulled or built."""
        self._used[image] = time.time()
        self._write()

    def hold(self, image: str) -> None:
        """Protects an image from removal while a job needs it."""
        self._holds[image] = self._holds.get(image, 0) + 1
        if image in self._used:
            self._used[image] = time.time()

    def let_go(self, image: str) -> None:
        """Ends one job's need of an image."""
        left = self._holds.get(image, 0) - 1
        if left > 0:
            self._holds[image] = left
        else:
            self._holds.pop(image, None)
        if image in self._used:
            self._used[image] = time.time()

    async def trim(self, docker: Docker) -> int:
        """Removes images that are too old, and the least recently used ones over the limit; returns the bytes left.

        Images that a job holds stay. The engine refuses to remove an image that any container uses.
        """
        left = 0
        oldest = time.time() - self._age if self._age else 0.0
        for image, used in sorted(self._used.items(), key=lambda item: item[1], reverse=True):
            try:
                size = int((await docker.images.inspect(image)).get("Size") or 0)
            except DockerError as error:
                if error.status == 404:
                    self._used.pop(image, None)
                continue
            fits = used >= oldest and (not self._most or left + size <= self._most)
            if fits or image in self._holds or not await self._remove(docker, image):
                left += size
        await asyncio.to_thread(self._write)
        return left

    async def _remove(self, docker: Docker, image: str) -> bool:
        """Removes an image's names one by one, and with the last one the image itself."""
        try:
            about = await docker.images.inspect(image)
            if image in self._holds:
                return False
            for name in about.get("RepoTags") or [image]:
                await docker.images.delete(str(name))
            with suppress(DockerError):
                await docker.images.delete(image)
        except LOST as error:
            log.debug("can't remove image %s: %s", image[:19], error)
            return False
        log.info("removed image %s: unused for long, or the image cache was full", image[:19])
        self._used.pop(image, None)
        return True

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(self._used))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("can't save the list of this worker's images: %s", error)
