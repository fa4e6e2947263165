"""Blobs that arrive in parts: one sparse file each, and beside it a byte for each part that is there and synced.

A part may come twice at once, when a connection is dead and its sender does not wait to learn it: only the newest
sender of a part may write, and nobody once the part is noted. So when all parts are noted, nothing changes the file
any more, and it can be verified.
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

_OVER: Final = "this upload is over; ask the hub how to send what is missing"
_ELSEWHERE: Final = "this part came, or comes, by another connection; ask the hub what is missing"


def part_count(size: int) -> int:
    """Returns the number of parts in which a blob is sent."""
    return max(1, -(-size // limits.PART_BYTES))


def part_size(size: int, number: int) -> int:
    """Bytes of part ``number`` (from 1 on) of a blob."""
    return min(limits.PART_BYTES, size - (number - 1) * limits.PART_BYTES)


class _Writing(Struct):
    """One part that is being written: its lock, its newest sender and the number of senders."""

    lock: asyncio.Lock
    newest: object
    writers: int = 0


class MultipartUploads:
    """Folder of the uploads in parts that are incomplete.

    Args:
        folder: Where the files are; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing: dict[tuple[str, int], _Writing] = {}

    def file(self, name: str) -> Path:
        """The file that an upload's parts are written to."""
        return self._folder / f"{name}.parts"

    def _notes(self, name: str) -> Path:
        return self._folder / f"{name}.noted"

    def begin(self, name: str, size: int) -> None:
        """Makes the file and the notes of an upload; what is there already stays."""
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
        """The numbers of the parts that have not come.

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
        """Takes in one part; when this returns it is durable.

        Args:
            name: The upload.
            number: Of the part, from 1 on.
            size: Bytes of the part.
            body: Its bytes.

        Raises:
            BadRequest: Fewer bytes came.
            TooLarge: More bytes came.
            Conflict: The part came by another connection meanwhile, or the upload is over.
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
                    raise TooLarge(f"part {number} has {size} bytes; more came")
                async with writing.lock:
                    _check_newest(writing, me)
                    await _finish(asyncio.to_thread(_put, file, notes, number, piece, at + received))
                received += len(piece)
            if received != size:
                raise BadRequest(f"part {number} has {size} bytes; {received} came, send it again")
            async with writing.lock:
                _check_newest(writing, me)
                await _finish(asyncio.to_thread(_note, file, notes, number))

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, int]]:
        """An upload's file and its notes."""
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
    """Writes a piece, unless its part has come: then nothing may change it any more."""
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
    """Waits for a thread's step to end even when the waiting is cancelled: the lock must be held as long as it runs."""
    task = asyncio.ensure_future(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
