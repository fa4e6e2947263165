"""Blobs: bytes named by their sha256, stored once. The interface, and the store in a folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Protocol

from asman_shared.errors import NotFound, TooLarge, Unauthentic, Unavailable
from asman_shared.messages import BlobLink, BlobTicket
from asman_shared.units import GIB, format_size

from .clock import Clock
from .signing import Signer

TICKET_SECONDS = 3600
"""How long a signed address is good for."""
BLOB_BYTES = 64 * GIB
"""Largest single blob."""
DISK_RESERVE = 256 * 1024 * 1024
"""Bytes that are left free on the disk of a folder store."""


class BlobStore(Protocol):
    """Where blobs are kept."""

    async def tickets(self, wanted: list[tuple[str, int]]) -> list[BlobTicket]:
        """For each (sha256, size): that it is there, or how to send it."""

    async def links(self, keys: list[str]) -> list[BlobLink]:
        """For each sha256: where it can be read, or an empty url."""


class FolderStore:
    """Blobs as files in a folder, written atomically and synced, served by the hub at signed addresses.

    Args:
        folder: Made if it is missing.
        signer: Signs the addresses.
        clock: Now.
    """

    PREFIX = "/b/"

    def __init__(self, folder: Path, signer: Signer, clock: Clock) -> None:
        self._folder = folder
        self._signer = signer
        self._clock = clock
        self._parts = folder / "incoming"
        self._parts.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where a blob is, or would be."""
        return self._folder / sha256[:2] / sha256

    def _expiry(self) -> int:
        return self._clock() // 1000 + TICKET_SECONDS

    async def tickets(self, wanted: list[tuple[str, int]]) -> list[BlobTicket]:
        """For each (sha256, size): that it is there, or how to send it."""
        return await asyncio.to_thread(lambda: [self._ticket(key, size) for key, size in wanted])

    def _ticket(self, sha256: str, size: int) -> BlobTicket:
        if size > BLOB_BYTES:
            raise TooLarge(f"a blob may have {format_size(BLOB_BYTES)}; this one has {format_size(size)}")
        if self._size(sha256) == size:
            return BlobTicket(sha256=sha256, exists=True)
        expires = self._expiry()
        url = self._signer.sign("PUT", self.PREFIX + sha256, expires=expires, extra=str(size))
        return BlobTicket(sha256=sha256, url=url, expires=expires * 1000)

    def _size(self, sha256: str) -> int | None:
        """Bytes of a stored blob; None when it is not stored."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    async def links(self, keys: list[str]) -> list[BlobLink]:
        """For each sha256: where it can be read, or an empty url."""
        return await asyncio.to_thread(lambda: [self._link(key) for key in keys])

    def _link(self, sha256: str) -> BlobLink:
        size = self._size(sha256)
        if size is None:
            return BlobLink(sha256=sha256)
        expires = self._expiry()
        url = self._signer.sign("GET", self.PREFIX + sha256, expires=expires)
        return BlobLink(sha256=sha256, url=url, size=size, expires=expires * 1000)

    def read(self, sha256: str) -> Path:
        """The file of a blob.

        Raises:
            NotFound: It is not stored here.
        """
        path = self.path(sha256)
        if not path.is_file():
            raise NotFound(f"the blob {sha256[:12]}… is not stored here")
        return path

    async def write(self, sha256: str, size: int, body: AsyncIterator[bytes]) -> None:
        """Stores a blob from a stream, and only if it is what its name says.

        Raises:
            Unauthentic: The bytes are others; nothing was kept.
            TooLarge: More bytes came than announced.
            Unavailable: The disk is full.
        """
        free = shutil.disk_usage(self._folder).free
        if free - size < DISK_RESERVE:
            raise Unavailable(
                f"the hub's disk has {format_size(free)} left, too little for {format_size(size)}; try later"
            )
        digest = hashlib.sha256()
        part = self._parts / f"{sha256[:16]}-{secrets.token_hex(8)}"
        received = 0
        try:
            with part.open("wb") as file:
                async for chunk in body:
                    received += len(chunk)
                    if received > size:
                        raise TooLarge(f"more than the {size} bytes that were announced came")
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
                if received != size or digest.hexdigest() != sha256:
                    raise Unauthentic(
                        f"{received} bytes with sha256 {digest.hexdigest()[:12]}… came under the name {sha256[:12]}… "
                        f"of {size} bytes; nothing was kept"
                    )
                await asyncio.to_thread(self._settle, file, part, self.path(sha256))
        except OSError as error:
            raise Unavailable(f"the hub can't write to its disk: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)

    @staticmethod
    def _settle(file: BinaryIO, part: Path, final: Path) -> None:
        """Gives a finished part its name, so that after a crash it is there whole or not at all."""
        file.flush()
        os.fsync(file.fileno())
        final.parent.mkdir(exist_ok=True)
        part.replace(final)
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
