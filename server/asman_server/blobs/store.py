"""The interface of a store of bytes. A store does not know the names of a blob or its retention."""

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
"""Validity of a signed address, in seconds."""
BLOB_BYTES: Final = 64 * GIB
"""Largest single blob."""
CHUNK: Final = MIB
"""Bytes of a blob that are held in memory at a time."""


class Stray(Struct, frozen=True):
    """Something in a store that is older than it should be, if the catalogue does not know it.

    Attributes:
        sha256: What it is, or was to be.
        place: Its place; of an upload, that of its row.
        key: The store's own name of it.
    """

    sha256: str
    place: str
    key: str


class BlobStore(Protocol):
    """A store for the bytes of blobs.

    Raises:
        Unavailable: (every method) The store can't be used now.
    """

    def open(self) -> AbstractAsyncContextManager[object]:
        """Opens connections, if there are any, for as long as the block lasts."""

    def recorded(self, size: int) -> bool:
        """Whether sending so many bytes takes an upload that is remembered; if not, `direct` is all it takes."""

    def direct(self, sha256: str, size: int) -> BlobTicket:
        """Returns a ticket to send a blob whose upload is not recorded."""

    async def begin(self, sha256: str, size: int, *, whole: bool = False) -> tuple[str, str]:
        """Makes a place for an upload, and returns it with the store's own name of the upload.

        Args:
            sha256: What will come.
            size: Bytes that will come.
            whole: They will come in one piece, whatever their size.
        """

    async def ticket(self, upload: UploadRow, *, fresh: bool = False) -> BlobTicket | None:
        """Returns a ticket for the missing bytes of an upload, or None when all bytes have arrived.

        Args:
            upload: One that was begun.
            fresh: Nothing can have come yet.

        Raises:
            NotFound: The store knows nothing of this upload any more.
        """

    async def settle(self, upload: UploadRow) -> str:
        """Verifies an upload of which all has come, and returns the place where it is from now on.

        Raises:
            Unauthentic: It is not what its name says; what came is gone.
            NotFound: What came is gone.
        """

    async def abort(self, upload: UploadRow) -> None:
        """Removes what is left of an upload that is over, whichever way it ended."""

    async def keep(self, sha256: str, size: int, file: Path) -> str:
        """Takes over a verified and synced file on the hub's own disk, and returns its place."""

    async def link(self, row: BlobRow, media_type: str | None = None, disposition: str | None = None) -> str:
        """The address where a blob can be read for `TICKET_SECONDS`."""

    async def remove(self, place: str) -> None:
        """Removes what is at a place, if anything is."""

    def strays(self, before: float) -> AsyncIterator[list[Stray]]:
        """Everything in the store that was last written before a time (epoch seconds), some at a time."""

    async def discard(self, stray: Stray) -> None:
        """Removes one of the `strays`."""


def new_place(sha256: str) -> str:
    """Returns a new place for one arrival of a blob; places are never reused."""
    return f"{sha256[:2]}/{sha256}-{secrets.token_hex(6)}"


def sha256_of(name: str) -> str:
    """Returns the sha256 of the blob that a place or file belongs to; empty if the name has none."""
    found = name.rsplit("/", 1)[-1][:64]
    return found if SHA256.fullmatch(found) else ""


def disk_error(error: OSError) -> AsmanError:
    """Converts an error of the disk to an error for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return QuotaExceeded(f"the hub's disk is full ({error.strerror}); remove something or try later")
    return Unavailable(f"the hub can't use its disk: {error.strerror}")
