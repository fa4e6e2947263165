"""Sources of uploads: bytes in memory, or pieces of a file that threads read."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from asman_shared.errors import Conflict
from asman_shared.units import MIB

CHUNK: Final = MIB
"""Number of bytes that are read, hashed or written together."""

Progress = Callable[[int], None]
"""Called with each number of bytes that was moved; a negative number takes back bytes that must be moved again."""

FileState = tuple[int, int, int, int]
"""Values that show a change of a file without reading it."""


def file_state(found: os.stat_result) -> FileState:
    """Returns the values that change when a file is written to or replaced."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to be stored under their sha256.

    Attributes:
        sha256: The sha256 of the bytes.
        size: The number of bytes.
        source: The bytes, or a function that opens the file. It returns a descriptor, which is closed here, and raises
            an error when the file has changed since it was hashed.
        label: Name of the blob in errors, such as ``the input 'data/x.bin'``.
        state: The file's state when it was hashed.
    """

    sha256: str
    size: int
    source: bytes | Callable[[], int]
    label: str = "a blob"
    state: FileState | None = None

    def unreadable(self, error: OSError) -> Conflict:
        """The error for a file that can't be read any more."""
        return Conflict(f"{self.label} can't be read any more: {error.strerror or error}")

    def changed(self) -> Conflict:
        """The error for a file that has changed since it was hashed."""
        return Conflict(f"{self.label} changed while it was uploaded; leave it alone until that is done, and try again")


class Reading:
    """A range of a blob, read in threads one chunk after the other. It must be closed in every case.

    Args:
        blob: The blob.
        offset: Start of the range, in bytes.
        size: Size of the range, in bytes.
    """

    def __init__(self, blob: Blob, offset: int, size: int) -> None:
        self._blob = blob
        self._offset = offset
        self._left = size
        self._file = -1
        self._closed = False
        self._turn = threading.Lock()

    async def chunks(self, progress: Progress) -> AsyncIterator[bytes]:
        """Yields the bytes, at most `CHUNK` at a time; a chunk counts as sent when the consumer asks for the next.

        Raises:
            Conflict: The file has changed since it was hashed, or can't be read.
        """
        while self._left:
            data = await self.next()
            yield data
            progress(len(data))

    async def next(self) -> bytes:
        """Returns the next chunk; empty at the end.

        Raises:
            Conflict: The file has changed since it was hashed, or can't be read.
        """
        source = self._blob.source
        if isinstance(source, bytes):
            data = source[self._offset : self._offset + min(CHUNK, self._left)]
            self._offset += len(data)
            self._left -= len(data)
            return data
        try:
            return await asyncio.to_thread(self._read, source) if self._left else b""
        except OSError as error:
            # The code that sends these bytes takes any `OSError` for one of the network.
            raise self._blob.unreadable(error) from error

    def _read(self, source: Callable[[], int]) -> bytes:
        """Returns the next chunk; opens the file for the first, and checks it for changes after the last."""
        with self._turn:
            if self._closed:
                return b""
            if self._file < 0:
                self._file = source()
                self._look()
                os.lseek(self._file, self._offset, os.SEEK_SET)
            wanted = min(CHUNK, self._left)
            data = b""
            while len(data) < wanted:
                more = os.read(self._file, wanted - len(data))
                if not more:
                    raise self._blob.changed()
                data = data + more if data else more
            self._left -= wanted
            if not self._left:
                self._look()
                self._shut()
            return data

    def _look(self) -> None:
        if self._blob.state is not None and file_state(os.fstat(self._file)) != self._blob.state:
            raise self._blob.changed()

    def _shut(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def close(self) -> None:
        """Closes the file, after the chunk that a thread may still be reading."""
        with self._turn:
            self._closed = True
            self._left = 0
            self._shut()
