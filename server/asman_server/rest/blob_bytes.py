"""Reads small blobs into memory, for answers that hold their bytes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from asman_shared.errors import NotFound
from asman_shared.units import format_size

from ..blobs import S3Store
from ..hub import Hub


class Unsent(NotFound):
    """The content is too large, or not on this hub, so that only its address can be given."""


async def blob_bytes(hub: Hub, sha256: str, most: int) -> bytes:
    """Returns the bytes of a blob.

    Raises:
        Unsent: There are more than ``most``.
        NotFound: The blob is not stored.
        Unavailable: The database or the storage can't be used now.
    """
    path = await hub.blobs.file(sha256)
    if path is not None:
        return await asyncio.to_thread(_read, path, most)
    row, store = await hub.blobs.row(sha256), hub.blobs.store
    if row.size > most or not isinstance(store, S3Store):
        raise _too_large(most)
    return await store.read(row)


def within(body: bytes, most: int) -> bytes:
    """Returns bytes.

    Raises:
        Unsent: There are more than ``most``.
    """
    if len(body) > most:
        raise _too_large(most)
    return body


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return within(file.read(most + 1), most)
    except FileNotFoundError:
        raise NotFound("the file is no longer stored") from None


def _too_large(most: int) -> Unsent:
    return Unsent(f"the file has more than {format_size(most)}")
