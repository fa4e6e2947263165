"""Named bytes in a folder or in S3: the blobs of a hub, or a backup."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal, Protocol

from msgspec import Struct

from asman_shared.errors import NotFound, Unauthentic

from ..blobs.receiving import pieces as joined
from ..blobs.receiving import sync_folder
from ..blobs.store import CHUNK, disk_error

PAGE: Final = 500
"""Objects that are listed in one step."""
INCOMING: Final = "incoming"
"""Folder of files that are being written; the hub's collector removes old ones from its own."""


class Found(Struct, frozen=True):
    """An object: its name, with slashes, and its size in bytes."""

    name: str
    size: int


class Objects(Protocol):
    """Holds named bytes.

    Raises:
        Misconfigured: (every method) The storage refuses for good.
        Unavailable: (every method) The disk or the storage can't be used now.
    """

    @property
    def said(self) -> str:
        """The place, for people."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Opens the connections, if any, for the duration of the block."""

    def list(self, start: str = "") -> AsyncIterator[list[Found]]:
        """All objects below a folder (a name that ends with a slash; empty for all), in pages."""

    def read(self, name: str) -> AsyncIterator[bytes]:
        """The bytes of an object, in pieces.

        Raises:
            NotFound: There is no such object.
        """

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Stores an object, which is there as a whole once this returns, and not at all if the pieces raise an error.

        Raises:
            QuotaExceeded: The disk is full.
        """

    async def remove(self, name: str) -> None:
        """Removes an object, if there is one."""


class FolderObjects:
    """Files in a folder, written atomically and synced; see `Objects`.

    Args:
        folder: The folder, which is made with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._synced: set[Path] = set()

    @property
    def said(self) -> str:
        """The folder."""
        return str(self.folder)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Opens nothing: a folder has no connections."""
        yield

    def clear(self) -> None:
        """Removes what a killed process was writing; nobody else writes now."""
        incoming = self.folder / INCOMING
        with _disk():
            for path in incoming.glob("*.new") if incoming.is_dir() else ():
                path.unlink(missing_ok=True)

    async def list(self, start: str = "") -> AsyncIterator[list[Found]]:
        """All files below a folder, without those that are being written."""
        files = self._files(self.folder / start)
        with _disk():
            while part := await asyncio.to_thread(lambda: list(islice(files, PAGE))):
                yield part

    def _files(self, top: Path) -> Iterator[Found]:
        for place, folders, names in os.walk(top):
            if Path(place) == self.folder and INCOMING in folders:
                folders.remove(INCOMING)
            folders.sort()
            for name in sorted(names):
                path = Path(place, name)
                try:
                    size = path.lstat().st_size
                except FileNotFoundError:
                    continue
                yield Found(path.relative_to(self.folder).as_posix(), size)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """The bytes of a file."""
        with _disk(), _opened(self.folder / name, "rb") as file:
            while piece := await asyncio.to_thread(file.read, CHUNK):
                yield piece

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Writes a file, syncs it and renames it to its name."""
        final = self.folder / name
        part = self.folder / INCOMING / f"{PurePosixPath(name).name[:16]}-{secrets.token_hex(8)}.new"
        with _disk():
            await asyncio.to_thread(self._make, part.parent)
            try:
                with _opened(part, "xb") as file:
                    async for piece in joined(pieces):
                        await asyncio.to_thread(_write_all, file, piece)
                    await asyncio.to_thread(os.fsync, file.fileno())
                await asyncio.to_thread(self._put, part, final)
            finally:
                part.unlink(missing_ok=True)

    def _put(self, part: Path, final: Path) -> None:
        self._make(final.parent)
        part.replace(final)
        sync_folder(final.parent)

    def _make(self, folder: Path) -> None:
        """Makes a folder, and syncs the names of all that are on the way to it."""
        if folder in self._synced:
            return
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for each in missing:
            sync_folder(each.parent)
        if len(self._synced) < PAGE:
            self._synced.add(folder)

    async def remove(self, name: str) -> None:
        """Removes a file, and its folder with the last one."""
        with _disk():
            await asyncio.to_thread(self._remove, self.folder / name)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if path.parent != self.folder and path.parent.is_dir():
            sync_folder(path.parent)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
                self._synced.discard(path.parent)


@contextmanager
def _disk() -> Iterator[None]:
    """Turns errors of the disk into `AsmanError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {error.filename}") from error
    except OSError as error:
        raise disk_error(error) from error


def _opened(path: Path, mode: Literal["rb", "xb"]) -> BinaryIO:
    """Opens a file at once: of one that a thread opens, nobody would know after a cancellation."""
    return path.open(mode, buffering=0)


def _write_all(file: BinaryIO, piece: bytes) -> None:
    left = memoryview(piece)
    while left:  # a nearly full disk may write only a part, without an error
        left = left[file.write(left) :]


async def verified(pieces: AsyncIterator[bytes], sha256: str, size: int | None, what: str) -> AsyncIterator[bytes]:
    """Passes bytes on, and ends with an error unless they have a sha256 and a size (None for any).

    Raises:
        Unauthentic: They have not.
    """
    digest = hashlib.sha256()
    come = 0
    async for piece in pieces:
        come += len(piece)
        if size is not None and come > size:
            break
        await asyncio.to_thread(digest.update, piece)
        yield piece
    if size is not None and come != size:
        raise Unauthentic(f"{what} is damaged: it has not {size} bytes")
    if digest.hexdigest() != sha256:
        raise Unauthentic(f"{what} is damaged: it has another sha256")


async def drained(pieces: AsyncIterator[bytes]) -> None:
    """Reads bytes to their end and keeps nothing of them."""
    async for _ in pieces:
        pass


async def in_memory(body: bytes) -> AsyncIterator[bytes]:
    """Bytes in memory, as pieces."""
    yield body


async def of_file(file: Path) -> AsyncIterator[bytes]:
    """The bytes of a file on this machine, as pieces."""
    with _opened(file, "rb") as opened:
        while piece := await asyncio.to_thread(opened.read, CHUNK):
            yield piece


async def read_small(objects: Objects, name: str, most: int) -> bytes:
    """Returns the bytes of a small object.

    Raises:
        NotFound: There is no such object.
        Unauthentic: It has more bytes than it may have.
    """
    body = bytearray()
    async for piece in objects.read(name):
        body += piece
        if len(body) > most:
            raise Unauthentic(f"{name} in {objects.said} is damaged: it has more than {most} bytes")
    return bytes(body)


Tell = Callable[[str], None]
"""Tells a person about the progress, in a sentence."""
