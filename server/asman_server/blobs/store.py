"""The interface of a blob store, which holds bytes. It does not know what names a blob or how long it is kept."""

from __future__ import annotations

import errno
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from asman_shared.definition import SHA256
from asman_shared.errors import AsmanError, QuotaExceeded, Unavailable
from asman_shared.messages import BlobTicket
from asman_shared.units import GIB, MIB

from ..storage.blob_changes import BlobRow, UploadRow

TICKET_SECONDS: Final = 3600
"""Lifetime of a signed address, in seconds."""
BLOB_BYTES: Final = 64 * GIB
"""Largest size of a blob, in bytes."""
CHUNK: Final = MIB
"""Size of the pieces in which a blob is read or written, in bytes."""


class Stray(Struct, frozen=True):
    """An old object in a store, which is to be removed unless the catalogue knows it.

    Attributes:
        sha256: The sha256 in its name; empty if there is none.
        place: Its place. An upload has the place in its row.
        key: The store's own name of it.
    """

    sha256: str
    place: str
    key: str


class BlobStore(Protocol):
    """Holds the bytes of blobs.

    Raises:
        Unavailable: (every method) The store can't be used now.
    """

    def open(self) -> AbstractAsyncContextManager[object]:
        """Opens the store's connections, if any, for the duration of the block."""

    async def look_after(self) -> None:
        """Looks for what can't be healed by trying again, logs it, and returns once there is nothing to look for."""

    async def fault(self) -> str:
        """Why blobs can't be stored or read now; empty if they can. Never raises."""

    def recorded(self, size: int) -> bool:
        """Returns whether an upload of ``size`` bytes needs a record in the catalogue; otherwise `direct` is enough."""

    def direct(self, sha256: str, size: int) -> BlobTicket:
        """A ticket for a blob whose upload is not recorded."""

    async def begin(self, sha256: str, size: int, *, whole: bool = False) -> tuple[str, str]:
        """Begins an upload; returns its place and the store's own id of it.

        Args:
            sha256: The announced sha256.
            size: The announced size, in bytes.
            whole: The blob will be sent in one piece, even if it is large.
        """

    async def ticket(self, upload: UploadRow, *, fresh: bool = False) -> BlobTicket | None:
        """A ticket for the missing bytes of an upload; None once all bytes have arrived.

        Args:
            upload: An upload that was begun.
            fresh: The upload was begun just now, so no bytes can have arrived.

        Raises:
            NotFound: The store does not know the upload any more.
        """

    async def settle(self, upload: UploadRow) -> str:
        """Verifies a complete upload and returns its final place.

        Raises:
            Unauthentic: The bytes have another sha256 or size; they were removed.
            NotFound: The bytes are missing.
        """

    async def abort(self, upload: UploadRow) -> None:
        """Removes the remains of an upload that is over."""

    async def keep(self, sha256: str, size: int, file: Path) -> str:
        """Stores a verified and synced file from the hub's disk, and returns its place."""

    async def link(self, row: BlobRow, media_type: str | None = None, disposition: str | None = None) -> str:
        """An address for reading a blob, valid for `TICKET_SECONDS`."""

    async def remove(self, place: str) -> None:
        """Removes the object at a place, if there is one."""

    def strays(self, before: float) -> AsyncIterator[list[Stray]]:
        """All objects that were last written before a time (epoch seconds), in pages."""

    async def discard(self, stray: Stray) -> None:
        """Removes one of the `strays`."""


def new_place(sha256: str) -> str:
    """A new, unique place for a blob."""
    return f"{sha256[:2]}/{sha256}-{secrets.token_hex(6)}"


def sha256_of(name: str) -> str:
    """The sha256 in the name of a place or file; empty if there is none."""
    found = name.rsplit("/", 1)[-1][:64]
    return found if SHA256.fullmatch(found) else ""


def disk_error(error: OSError) -> AsmanError:
    """The `AsmanError` for an error of the hub's disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return QuotaExceeded(f"the hub's disk is full ({error.strerror}); remove something or try later")
    return Unavailable(f"the hub can't use its disk: {error.strerror}")
