"""Receives bytes into a temporary file: hashed and synced, then moved to its place or removed."""

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
    """A received file, complete and synced to disk."""

    file: Path
    sha256: str
    size: int


async def pieces(body: AsyncIterator[bytes], size: int = CHUNK) -> AsyncIterator[bytes]:
    """Joins a stream's chunks to pieces of about ``size`` bytes, so that each piece costs one call in a thread."""
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
    """Receives a stream as a file, which is removed at the end of the block unless it was moved away.

    Args:
        folder: The folder of the file.
        name: The beginning of the file's name.
        body: The bytes.
        most: The largest number of bytes.

    Raises:
        TooLarge: More bytes arrived.
        QuotaExceeded: The disk is full.
        Unavailable: The disk fails.
    """
    path = folder / f"{name}-{secrets.token_hex(8)}.new"
    digest = hashlib.sha256()
    size = 0

    def write(file: BinaryIO, piece: bytes) -> None:
        digest.update(piece)
        left = memoryview(piece)
        while left:  # a nearly full disk may write only a part, without an error
            left = left[file.write(left) :]

    try:
        with _opened(path) as file:
            async for piece in pieces(body):
                size += len(piece)
                if size > most:
                    raise TooLarge(f"more bytes arrived than the {most} that were announced or are allowed")
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
    """Syncs a folder, so that the names in it are durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
