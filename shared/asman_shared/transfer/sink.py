"""Destinations of downloaded bytes; threads hash and write them while the next ones arrive."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path
from typing import Protocol

from .source import CHUNK


class Sink(Protocol):
    """Receives bytes in order."""

    async def feed(self, chunk: bytes) -> None:
        """Receives the next bytes."""
        ...

    async def settle(self) -> str:
        """Waits until all bytes are processed; returns their sha256."""
        ...

    async def restart(self) -> None:
        """Discards all bytes."""
        ...


class MemorySink:
    """Keeps the bytes in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    async def feed(self, chunk: bytes) -> None:
        """Receives the next bytes."""
        self.data += chunk

    async def settle(self) -> str:
        """Returns the sha256 of all bytes."""
        return await asyncio.to_thread(lambda: hashlib.sha256(self.data).hexdigest())

    async def restart(self) -> None:
        """Discards all bytes."""
        self.data.clear()


class FileSink:
    """Writes the bytes to a new file, which gets its final name only after a complete download.

    One chunk is written while the next one is filled, so a download takes as long as the slower of network and disk,
    not as long as both together. At most two chunks are in memory. The call after a failed write raises its error.

    Args:
        part: The path of the new file, which must not exist; `discard` removes the file.
        mode: Permission bits, before the process's umask is applied.
    """

    def __init__(self, part: Path, mode: int = 0o644) -> None:
        self._part = part
        self._mode = mode
        self._digest = hashlib.sha256()
        self._chunks: list[bytes] = []
        self._held = 0
        self._file = -1
        self._made = False
        self._closed = False
        self._turn = threading.Lock()
        self._writing: asyncio.Future[None] | None = None

    async def feed(self, chunk: bytes) -> None:
        """Receives the next bytes.

        Raises:
            OSError: Earlier bytes could not be written.
        """
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held >= CHUNK:
            await self._written()
            chunks, self._chunks, self._held = self._chunks, [], 0
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, chunks)

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def settle(self) -> str:
        """Waits until all bytes are written.

        Raises:
            OSError: The bytes could not be written.
        """
        await self._written()
        chunks, self._chunks, self._held = self._chunks, [], 0
        return await asyncio.to_thread(self._settle, chunks)

    async def restart(self) -> None:
        """Empties the file."""
        await self._written()
        self._chunks.clear()
        self._held = 0
        await asyncio.to_thread(self._empty)

    async def rename(self, to: Path, *, durable: bool = False) -> None:
        """Gives the file its name.

        Args:
            to: The final name; an existing file is replaced.
            durable: Whether to sync the file to disk first, so that it survives a crash of the machine.
        """
        await asyncio.to_thread(self._rename, to, durable)

    async def discard(self) -> None:
        """Closes the file, and removes it unless it was renamed; waits for a thread that still writes."""
        writing, self._writing = self._writing, None
        if writing is not None:
            # An error of that thread does not matter any more.
            await asyncio.wait([writing])
            writing.cancelled() or writing.exception()
        await asyncio.to_thread(self._discard)

    # --------------------------------------------------------------------------------------------------- in threads

    def _open(self) -> int:
        if self._closed:
            raise ValueError("this sink is closed")
        if self._file < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            self._file = os.open(self._part, flags | getattr(os, "O_CLOEXEC", 0), self._mode)
            self._made = True
        return self._file

    def _write(self, chunks: list[bytes]) -> None:
        with self._turn:
            file = self._open()
            for chunk in chunks:
                self._digest.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(file, view) :]

    def _settle(self, chunks: list[bytes]) -> str:
        self._write(chunks)
        return self._digest.hexdigest()

    def _empty(self) -> None:
        with self._turn:
            file = self._open()
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            self._digest = hashlib.sha256()

    def _rename(self, to: Path, durable: bool) -> None:
        with self._turn:
            if durable:
                os.fsync(self._open())
            self._shut()
            self._part.replace(to)
            self._made = False
            if durable:
                _sync_folder(to.parent)

    def _discard(self) -> None:
        with self._turn:
            self._shut()
            if self._made:
                self._part.unlink(missing_ok=True)

    def _shut(self) -> None:
        self._closed = True
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _sync_folder(folder: Path) -> None:
    at = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)
