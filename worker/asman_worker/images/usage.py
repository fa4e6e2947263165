"""Tracks the images that this worker pulled and built: jobs may use them, and those that were not used for long go.

No other image on the engine is ever removed: the images that its owner pulled stay, even if a pull of this worker found
that a registry offers the same image. A file records the images and the last use of each, so that a restart does not
lose them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from .engine import LOST

log = logging.getLogger("asman.worker.shelf")

_MOST: Final = 10_000


class ImageUsage:
    """The images that this worker pulled or built, by id.

    Own images came to the engine through this worker, which removes them in time. Shared images were there before: a
    pull found that a registry offers them, so jobs may use them, and they stay.

    Args:
        file: The file that records the own images; another beside it records the shared ones.
        most: Largest size of all own images, in bytes; 0 for no limit.
        age: Time after which an unused image is removed, in seconds; 0 for never.
    """

    def __init__(self, file: Path, *, most: int = 0, age: float = 0) -> None:
        self._file = file
        self._most = most
        self._age = age
        self._used: dict[str, float] = {}
        self._shared: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._holds: dict[str, int] = {}
        self._shared_file = file.with_name(f"shared-{file.name}")
        with _readable():
            self._used = _times(json.loads(file.read_bytes()))
        with _readable():
            known = json.loads(self._shared_file.read_bytes())
            self._shared = _times(known["shared"])
            self._names = {str(name): str(image) for name, image in list(known["names"].items())[:_MOST]}

    def own(self, image: str) -> None:
        """Records an image that this worker pulled or built."""
        self._used[image] = time.time()
        self._write()

    def share(self, image: str) -> None:
        """Records an image that a pull brought although the engine had it."""
        if image not in self._used:
            self._shared[image] = time.time()
            _bound(self._shared)
            self._write_shared()

    def knows(self, image: str) -> bool:
        """Whether this worker pulled or built an image."""
        return image in self._used or image in self._shared

    def name(self, name: str, image: str) -> None:
        """Records the image that a pull of a name brought, where the engine's owner uses the name for another one."""
        self._names[name] = image
        _bound(self._names)
        self._write_shared()

    def named(self, name: str) -> str:
        """Returns the image that `name` recorded; empty for none."""
        image = self._names.get(name, "")
        return image if self.knows(image) else ""

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
        await self._forget_removed(docker)
        return left

    async def _forget_removed(self, docker: Docker) -> None:
        """Forgets shared images that the owner removed, and names of images that are gone."""
        before = len(self._shared) + len(self._names)
        for image in list(self._shared):
            try:
                await docker.images.inspect(image)
            except DockerError as error:
                if error.status == 404:
                    self._shared.pop(image, None)
        self._names = {name: image for name, image in self._names.items() if self.knows(image)}
        if len(self._shared) + len(self._names) < before:
            await asyncio.to_thread(self._write_shared)

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
        _write(self._file, self._used)

    def _write_shared(self) -> None:
        _write(self._shared_file, {"shared": self._shared, "names": self._names})


@contextmanager
def _readable() -> Iterator[None]:
    """Tells that a list can't be read; one that does not exist yet is nothing to tell."""
    try:
        yield
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        log.warning("can't read the list of this worker's images, and begin a new one: %s", error)


def _times(known: dict[str, Any]) -> dict[str, float]:
    return {str(image): float(used) for image, used in list(known.items())[:_MOST]}


def _write(file: Path, known: dict[str, Any]) -> None:
    fresh = file.with_suffix(".new")
    try:
        fresh.write_text(json.dumps(known))
        fresh.replace(file)
    except OSError as error:
        log.warning("can't save the list of this worker's images: %s", error)


def _bound(known: dict[str, Any]) -> None:
    """Forgets the oldest entries over the limit."""
    while len(known) > _MOST:
        del known[next(iter(known))]
