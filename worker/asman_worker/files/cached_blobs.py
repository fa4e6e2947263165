"""Downloads blobs through the worker's cache of inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asman_shared.address import Address

from .blobs import BlobConnection, Blobs
from .cache import FileCache


class CachedBlobs(Blobs):
    """Downloads blobs of one queue through the cache that all queues of the worker share.

    A blob is named by the hash of its bytes, so a job that names a blob may have it from any source. The hub is still
    asked whether the blob is stored.

    Args:
        locator: Finds the addresses of blobs.
        target: The hub, for relative addresses.
        cache: The cache of inputs.
        allowed: Patterns of private hosts that jobs may name.
    """

    def __init__(
        self, locator: BlobConnection, target: Address, cache: FileCache, *, allowed: Sequence[str] = ()
    ) -> None:
        super().__init__(locator, target, allowed=allowed)
        self._cache = cache

    async def fetch(self, url: str, to: Path, *, sha256: str | None = None, most: int, **more: Any) -> int:
        """Copies a file from the cache, or streams an address into a new file; returns its size.

        Raises:
            AsmanError: As `Blobs.fetch` does.
        """
        if sha256 is not None and (size := await asyncio.to_thread(self._copy, sha256, to, most)) is not None:
            if (progress := more.get("progress")) is not None:
                progress(size)
            return size
        came = await super().fetch(url, to, sha256=sha256, most=most, **more)
        if sha256 is not None:
            await asyncio.to_thread(self._cache.keep, sha256, to)
        return came

    def _copy(self, sha256: str, to: Path, most: int) -> int | None:
        """Copies a blob from the cache if it is there; leaves a blob that is too large to the download."""
        if not self._cache.copy_to(sha256, to):
            return None
        size = to.stat().st_size
        if size > most:
            to.unlink()
            return None
        return size
