"""Blobs as files in a folder, written atomically and synced, served by the hub at signed addresses.

Layout: ``ab/<sha256>-<random>`` holds a blob, at the place that the catalogue names. ``incoming/`` holds incomplete
uploads. Older hubs wrote ``ab/<sha256>``; those files are adopted (`FolderStore.older`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from asman_shared import limits
from asman_shared.definition import SHA256
from asman_shared.errors import Forbidden, NotFound, Unauthentic
from asman_shared.messages import BlobPart, BlobTicket

from ..clock import Clock
from ..disk_room import DISK_RESERVE, need_room
from ..storage.blob_changes import BlobRow, UploadRow
from .multipart import MultipartUploads, part_count, part_size
from .receiving import Received, received, sync_folder
from .signing import Signer
from .store import CHUNK, TICKET_SECONDS, Stray, disk_error, new_place, sha256_of

STRAYS_AT_ONCE: Final = 500
"""Files that are listed in one step."""


class Grant(Struct, frozen=True):
    """The purpose of a signed address for sending bytes: a whole blob, or a part of an upload.

    Attributes:
        size: The number of bytes to send.
        name: The name of the upload; empty for a whole blob.
        number: The number of the part.
    """

    size: int
    name: str = ""
    number: int = 0

    def signed(self) -> str:
        """The text that is signed."""
        return f"{self.size}.{self.number}.{self.name}" if self.name else str(self.size)

    @classmethod
    def read(cls, text: str) -> Grant:
        """Parses a signed text.

        Raises:
            Forbidden: The address was signed for another purpose.
        """
        size, _, rest = text.partition(".")
        number, _, name = rest.partition(".")
        try:
            return cls(int(size), name, int(number or 0))
        except ValueError:
            raise Forbidden("this address does not accept uploads") from None


class FolderStore:
    """Stores blobs as files in a folder; see `asman_server.blobs.store.BlobStore`.

    Args:
        folder: The folder, which is created if it is missing.
        signer: Signs the addresses.
        clock: Tells the time.
        reserve: Space that stays free on the disk, in bytes.
    """

    PREFIX = "/b/"

    def __init__(self, folder: Path, signer: Signer, clock: Clock, *, reserve: int = DISK_RESERVE) -> None:
        self.incoming = folder / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._signer = signer
        self._clock = clock
        self._reserve = reserve
        self._arrivals = MultipartUploads(self.incoming)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Opens nothing: a folder has no connections."""
        yield

    async def look_after(self) -> None:
        """Looks for nothing: `fault` tries the folder each time."""

    async def fault(self) -> str:
        """Why files can't be written now."""
        return await asyncio.to_thread(self._fault)

    def _fault(self) -> str:
        trial = self.incoming / f"trial-{secrets.token_hex(8)}.new"
        try:
            trial.write_bytes(b"x")
            trial.unlink()
        except OSError as error:
            return f"the folder for blobs can't be written: {error.strerror}"
        return ""

    def path(self, place: str) -> Path:
        """The file at a place."""
        return self._folder / place

    def need_room(self, size: int) -> None:
        """Checks that the disk has space for ``size`` bytes and the reserve.

        Raises:
            QuotaExceeded: The disk has too little space.
        """
        need_room(self._folder, size, self._reserve)

    # -------------------------------------------------------------------------------------------------- sending

    def recorded(self, size: int) -> bool:
        """Returns whether an upload is sent in parts: only such uploads are recorded."""
        return size > limits.PART_BYTES

    def _expiry(self) -> int:
        return self._clock() // 1000 + TICKET_SECONDS

    def _put(self, sha256: str, grant: Grant, expires: int) -> str:
        return self._signer.sign("PUT", self.PREFIX + sha256, expires=expires, extra=grant.signed())

    def direct(self, sha256: str, size: int) -> BlobTicket:
        """A ticket for sending a blob in one piece."""
        expires = self._expiry()
        url = self._put(sha256, Grant(size), expires)
        return BlobTicket(sha256=sha256, url=url, expires=expires * 1000, missing=size)

    async def begin(self, sha256: str, size: int, *, whole: bool = False) -> tuple[str, str]:
        """Creates the file for the parts."""
        del whole
        place = new_place(sha256)
        await asyncio.to_thread(self._begin, place, size)
        return place, _name(place)

    def _begin(self, place: str, size: int) -> None:
        try:
            self.need_room(size)
            self._arrivals.begin(_name(place), size)
        except OSError as error:
            raise disk_error(error) from error

    async def ticket(self, upload: UploadRow, *, fresh: bool = False) -> BlobTicket | None:
        """A ticket for the missing parts."""
        del fresh
        return await asyncio.to_thread(self._ticket, upload)

    def _ticket(self, upload: UploadRow) -> BlobTicket | None:
        if self.path(upload.place).exists():
            return None
        missing = self._arrivals.missing(upload.store_id)
        if not missing:
            return None
        expires = self._expiry()

        def part(number: int) -> BlobPart:
            size = part_size(upload.size, number)
            url = self._put(upload.sha256, Grant(size, upload.store_id, number), expires)
            return BlobPart(number, (number - 1) * limits.PART_BYTES, size, url)

        return BlobTicket(
            sha256=upload.sha256,
            expires=expires * 1000,
            parts=[part(number) for number in missing[: limits.PARTS_PER_TICKET]],
            missing=sum(part_size(upload.size, number) for number in missing),
        )

    @asynccontextmanager
    async def received(self, sha256: str, size: int, body: AsyncIterator[bytes]) -> AsyncIterator[Received]:
        """Receives a whole blob as a verified file, which is removed at the end of the block unless it was kept.

        Raises:
            Unauthentic: The bytes have another sha256; nothing was kept.
            TooLarge: More bytes arrived than announced.
            QuotaExceeded: The disk is full.
            Unavailable: The disk fails.
        """
        self.need_room(size)
        async with received(self.incoming, sha256[:16], body, size) as came:
            if came.size != size or came.sha256 != sha256:
                raise Unauthentic(
                    f"{came.size} bytes with sha256 {came.sha256[:12]}… arrived, but the upload was announced as "
                    f"{sha256[:12]}… with {size} bytes; nothing was kept"
                )
            yield came

    async def receive_part(self, grant: Grant, body: AsyncIterator[bytes]) -> None:
        """Receives one part; see `MultipartUploads.receive`."""
        self.need_room(grant.size)
        await self._arrivals.receive(grant.name, grant.number, grant.size, body)

    async def settle(self, upload: UploadRow) -> str:
        """Verifies the file of an upload's parts and moves it to its place."""
        try:
            return await asyncio.to_thread(self._settle, upload)
        except OSError as error:
            raise disk_error(error) from error

    def _settle(self, upload: UploadRow) -> str:
        final = self.path(upload.place)
        part = self._arrivals.file(upload.store_id)
        if not final.exists() and not part.exists():
            raise NotFound("the received part of this upload is gone; send it again")
        # After a crash the file may be at its place already, without a row in the catalogue.
        found = final if final.exists() else part
        digest = hashlib.sha256()
        with found.open("rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
            size = file.tell()
        if size != upload.size or digest.hexdigest() != upload.sha256:
            final.unlink(missing_ok=True)
            self._arrivals.remove(upload.store_id)
            raise Unauthentic(
                f"the {part_count(upload.size)} parts of {upload.sha256[:12]}… together have the sha256 "
                f"{digest.hexdigest()[:12]}…; nothing was kept"
            )
        if found is part:
            _move(part, final)
        self._arrivals.forget(upload.store_id)
        return upload.place

    async def abort(self, upload: UploadRow) -> None:
        """Removes the parts."""
        if upload.store_id:
            await asyncio.to_thread(self._arrivals.remove, upload.store_id)

    async def keep(self, sha256: str, size: int, file: Path) -> str:
        """Moves a file to a new place."""
        del size
        place = new_place(sha256)
        try:
            await asyncio.to_thread(_move, file, self.path(place))
        except OSError as error:
            raise disk_error(error) from error
        return place

    # -------------------------------------------------------------------------------------------------- reading

    async def link(self, row: BlobRow, media_type: str | None = None, disposition: str | None = None) -> str:
        """The hub's own address of a blob."""
        del media_type, disposition
        return self._signer.sign("GET", self.PREFIX + row.sha256, expires=self._expiry())

    # ------------------------------------------------------------------------------------------------- cleaning

    async def remove(self, place: str) -> None:
        """Removes the file at a place."""
        await asyncio.to_thread(self.path(place).unlink, missing_ok=True)

    async def strays(self, before: float) -> AsyncIterator[list[Stray]]:
        """Old files: blobs and incomplete uploads."""
        files = self._files()
        while part := await asyncio.to_thread(lambda: list(islice(files, STRAYS_AT_ONCE))):
            yield await asyncio.to_thread(lambda: [self._stray(f) for f in part if _written(f) < before])

    def _files(self) -> Iterator[Path]:
        for folder in sorted(self._folder.iterdir()):
            if folder.is_dir() and (len(folder.name) == 2 or folder == self.incoming):
                with os.scandir(folder) as entries:
                    yield from (folder / entry.name for entry in entries if entry.is_file(follow_symlinks=False))

    def _stray(self, file: Path) -> Stray:
        key = str(file.relative_to(self._folder))
        sha256 = sha256_of(key)
        place = f"{sha256[:2]}/{file.stem}" if file.parent == self.incoming else key
        return Stray(sha256, place, key)

    async def discard(self, stray: Stray) -> None:
        """Removes an old file."""
        await self.remove(stray.key)

    async def older(self) -> AsyncIterator[list[BlobRow]]:
        """The blobs of an older hub without a catalogue, in pages."""
        now = self._clock()
        files = self._files()
        while part := await asyncio.to_thread(lambda: list(islice(files, STRAYS_AT_ONCE))):
            plain = [file for file in part if SHA256.fullmatch(file.name) and file.parent.name == file.name[:2]]
            sizes = await asyncio.to_thread(lambda: [file.stat().st_size for file in plain])  # noqa: B023
            yield [
                BlobRow(file.name, size, f"{file.parent.name}/{file.name}", now, now)
                for file, size in zip(plain, sizes, strict=True)
                # Older hubs did not sync blobs, so a crash could leave an empty file under a blob's name.
                if size or file.name == hashlib.sha256().hexdigest()
            ]


def _name(place: str) -> str:
    return place.rsplit("/", 1)[-1]


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _move(file: Path, final: Path) -> None:
    """Renames a finished file, so that after a crash it is complete or absent."""
    if not final.parent.exists():
        final.parent.mkdir(exist_ok=True)
        sync_folder(final.parent.parent)
    file.replace(final)
    sync_folder(final.parent)
