"""The places outside of the hub that this worker reads and writes for jobs: shared folders and buckets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from asman_shared.errors import ExecutionError
from asman_shared.places.urls import Place, place_of

from .s3_buckets import S3Buckets
from .shared_folders import SharedFolders

Opened = Callable[[], int]
"""Opens a file that a job wrote; returns its descriptor."""


class Places:
    """The places of one worker.

    Args:
        folders: The folders that the operator shares.
        buckets: The buckets that the operator lets jobs use.
    """

    def __init__(self, folders: SharedFolders | None = None, buckets: S3Buckets | None = None) -> None:
        self.folders = folders or SharedFolders({})
        self.buckets = buckets or S3Buckets({})

    @property
    def tags(self) -> list[str]:
        """The tags by which jobs find this worker."""
        return [*self.folders.tags, *self.buckets.tags]

    async def fetch(self, place: Place, to: Path, most: int) -> None:
        """Copies a file to a new one, or what a folder has into an existing one.

        Raises:
            ExecutionError: It can't be read; the error says what to do.
        """
        if place.kind == "s3":
            copy = self.buckets.copy_folder if place.folder else self.buckets.copy_object
            await copy(place.bucket, place.path, to, most)
        else:
            read = self.folders.copy_folder if place.folder else self.folders.copy_file
            await asyncio.to_thread(read, place.path, to, most)

    def check_writable(self, url: str) -> None:
        """Refuses a URL that this worker can't write to.

        Raises:
            ExecutionError: It can't; the error names the option of the worker.
        """
        place = place_of(url, "outputs")
        if place.kind == "s3":
            self.buckets.check(place.bucket, writing=True)
        else:
            self.folders.root_of(place.path, writing=True)

    async def write(self, url: str, opened: Opened, size: int) -> None:
        """Writes a file of a job, whole or not at all.

        Raises:
            ExecutionError: It can't be written.
        """
        place = place_of(url, "outputs")
        if place.folder:
            raise ExecutionError(f"{url[:200]} names a folder, not a file")
        file = _file(await asyncio.to_thread(opened))
        with file:
            if place.kind == "s3":
                await self.buckets.write(place.bucket, place.path, file, size)
            else:
                await asyncio.to_thread(self.folders.write, place.path, file)


def _file(descriptor: int) -> IO[bytes]:
    return os.fdopen(descriptor, "rb")
