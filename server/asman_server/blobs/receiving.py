"""Bytes on their way into the hub: streamed to a file under a name of their own, hashed, synced, then kept or gone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from asman_shared.errors import TooLarge

from .store import CHUNK, disk_error


class Received(Struct, frozen=True):
    """A file that was received whole and synced to disk."""

    file: Path
    sha256: str
    size: int


async def pieces(body: AsyncIterator[bytes], size: int = CHUNK) -> AsyncIterator[bytes]:
    """The same bytes in pieces of about ``size``, so that each costs one step of a thread."""
    waiting = bytearray()
    async for chunk in body:
        waiting += chunk
        if len(waiting) >= size:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


@asynccontextmanager
async def received(folder: Path, name: str, body: AsyncIterator[bytes], most: int) -> AsyncIterator[Received]:
    """A stream as a file, which is removed at the end of the block unless it was moved away.

    Args:
        folder: Where the file is meanwhile.
        name: What its name begins with.
        body: The bytes.
        most: Bytes that may come.

    Raises:
        TooLarge: More came.
        QuotaExceeded: The disk is full.
        Unavailable: The disk fails.
    """
    path = folder / f"{name}-{secrets.token_hex(8)}.new"
    digest = hashlib.sha256()
    size = 0

    def write(file: BinaryIO, piece: bytes) -> None:
        digest.update(piece)
        left = memoryview(piece)
        while left:  # a nearly full disk may accept only a part, without an error
            left = left[file.write(left) :]

    try:
        with _opened(path) as file:
            async for piece in pieces(body):
                size += len(piece)
                if size > most:
                    raise TooLarge(f"more than the {most} bytes that were announced or are allowed came")
                await asyncio.to_thread(write, file, piece)
            await asyncio.to_thread(_sync, file)
        yield Received(path, digest.hexdigest(), size)
    except OSError as error:
        raise disk_error(error) from error
    finally:
        path.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    return path.open("xb", buffering=0)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
