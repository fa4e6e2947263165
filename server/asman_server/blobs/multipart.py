"""Uploads in parts: each is one sparse file, with a file of notes that has one byte for each received and synced part.

Two senders may send the same part at once, for instance when the first connection is dead but not closed yet. Only the
newest sender of a part may write, and no sender once the part is noted. So the file does not change any more once all
parts are noted, and it can be verified.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from asman_shared import limits
from asman_shared.errors import BadRequest, Conflict, NotFound, TooLarge

from .receiving import pieces, sync_folder
from .store import disk_error

_OVER: Final = "this upload has ended; ask the hub which bytes are missing"
_ELSEWHERE: Final = "another connection has sent this part, or is sending it; ask the hub which parts are missing"


def part_count(size: int) -> int:
    """The number of parts of a blob."""
    return max(1, -(-size // limits.PART_BYTES))


def part_size(size: int, number: int) -> int:
    """The size of part ``number`` (from 1) of a blob, in bytes."""
    return min(limits.PART_BYTES, size - (number - 1) * limits.PART_BYTES)


class _Writing(Struct):
    """A part that is being written: its newest sender, and the number of its senders."""

    lock: asyncio.Lock
    newest: object
    writers: int = 0


class MultipartUploads:
    """The folder of uploads in parts.

    Args:
        folder: An existing folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing: dict[tuple[str, int], _Writing] = {}

    def file(self, name: str) -> Path:
        """The file of an upload's parts."""
        return self._folder / f"{name}.parts"

    def _notes(self, name: str) -> Path:
        return self._folder / f"{name}.noted"

    def begin(self, name: str, size: int) -> None:
        """Creates the file and the notes of an upload, unless they exist."""
        notes = self._notes(name)
        if notes.exists():
            return
        with self.file(name).open("ab") as file:
            file.truncate(size)
            os.fsync(file.fileno())
        made = notes.with_suffix(".making")
        with made.open("wb") as file:
            file.write(bytes(part_count(size)))
            file.flush()
            os.fsync(file.fileno())
        made.replace(notes)
        sync_folder(self._folder)

    def missing(self, name: str) -> list[int]:
        """The numbers of the missing parts.

        Raises:
            NotFound: There is no such upload.
        """
        try:
            noted = self._notes(name).read_bytes()
        except FileNotFoundError:
            raise NotFound(_OVER) from None
        return [number for number, there in enumerate(noted, 1) if not there]

    def remove(self, name: str) -> None:
        """Removes the file and the notes of an upload."""
        self._notes(name).unlink(missing_ok=True)
        self.file(name).unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Removes the notes of an upload whose file has been moved away."""
        self._notes(name).unlink(missing_ok=True)

    async def receive(self, name: str, number: int, size: int, body: AsyncIterator[bytes]) -> None:
        """Receives one part and makes it durable.

        Args:
            name: The name of the upload.
            number: The number of the part, from 1.
            size: The size of the part, in bytes.
            body: The bytes of the part.

        Raises:
            BadRequest: Fewer bytes arrived.
            TooLarge: More bytes arrived.
            Conflict: Another connection has sent the part, or the upload is over.
            QuotaExceeded: The disk is full.
            Unavailable: The disk fails.
        """
        try:
            missing = await asyncio.to_thread(self.missing, name)
        except NotFound:
            raise Conflict(_OVER) from None
        if number not in missing:
            async for _ in body:
                pass
            return
        me = object()
        writing = self._writing.setdefault((name, number), _Writing(asyncio.Lock(), me))
        writing.newest = me
        writing.writers += 1
        try:
            await self._write(name, number, size, body, writing, me)
        except OSError as error:
            raise disk_error(error) from error
        finally:
            writing.writers -= 1
            if not writing.writers:
                self._writing.pop((name, number), None)

    async def _write(
        self, name: str, number: int, size: int, body: AsyncIterator[bytes], writing: _Writing, me: object
    ) -> None:
        at = (number - 1) * limits.PART_BYTES
        received = 0
        with self._opened(name) as (file, notes):
            async for piece in pieces(body):
                if received + len(piece) > size:
                    raise TooLarge(f"part {number} must have {size} bytes, but more arrived")
                async with writing.lock:
                    _check_newest(writing, me)
                    await _finish(asyncio.to_thread(_put, file, notes, number, piece, at + received))
                received += len(piece)
            if received != size:
                raise BadRequest(f"part {number} must have {size} bytes, but {received} arrived; send it again")
            async with writing.lock:
                _check_newest(writing, me)
                await _finish(asyncio.to_thread(_note, file, notes, number))

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, int]]:
        """Opens an upload's file and its notes."""
        opened: list[int] = []
        try:
            for path in (self.file(name), self._notes(name)):
                opened.append(os.open(path, os.O_RDWR))
            yield opened[0], opened[1]
        except FileNotFoundError:
            raise Conflict(_OVER) from None
        finally:
            for file in opened:
                os.close(file)


def _put(file: int, notes: int, number: int, piece: bytes, at: int) -> None:
    """Writes bytes of a part unless the part is noted: a noted part must not change."""
    if os.pread(notes, 1, number - 1) != b"\0":
        raise Conflict(_ELSEWHERE)
    view = memoryview(piece)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def _note(file: int, notes: int, number: int) -> None:
    os.fsync(file)
    os.pwrite(notes, b"\1", number - 1)
    os.fsync(notes)


def _check_newest(writing: _Writing, me: object) -> None:
    if writing.newest is not me:
        raise Conflict(_ELSEWHERE)


async def _finish(step: Coroutine[None, None, None]) -> None:
    """Waits until a step in a thread ends, even if the caller is cancelled: the lock must be held while it runs."""
    task = asyncio.ensure_future(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
