"""Small files with plain names (not a sha256), for plain HTTP clients. Each name is given once.

The bytes are an ordinary blob that the name points to. Unused names are collected like blobs.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from asman_shared import limits
from asman_shared.definition import SHA256
from asman_shared.errors import BadRequest, Conflict, NotFound, TooLarge
from asman_shared.units import MIB, format_size

from ..clock import Clock
from ..disk_room import need_room
from ..storage.blob_changes import FileRow, NameFile, UseFile
from . import BlobService
from .receiving import received

FILE_BYTES: Final = 64 * MIB
"""Largest size of a file with a plain name, in bytes."""
TOKEN_BYTES: Final = 16
"""Random bytes in front of a name that nobody can guess."""
_PRIVATE: Final = re.compile(rf"[0-9a-f]{{{2 * TOKEN_BYTES}}}-.+", re.DOTALL)
_BLOB: Final = re.compile(r"([0-9a-f]{64})(\.[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")


_PLANE: Final = 0x10000
"""Number of characters that every reader of such an expression can name."""
UNSEEN: Final = frozenset({"Cc", "Cs", "Cf", "Zl", "Zp"})
"""Unicode categories of characters that no name has: those that control what surrounds them, and halves of others."""


def name_pattern() -> str:
    """Returns the form of plain names as a regular expression, as JSON Schema has them.

    Halves of characters, which are in no text of JSON, are left out: tools drop an expression with them.
    """
    ranges: list[list[int]] = []
    for point in range(_PLANE):
        if unicodedata.category(chr(point)) not in UNSEEN - {"Cs"}:
            continue
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    never = "".join(rf"\u{first:04x}-\u{last:04x}" for first, last in ranges)
    return rf"^[^./\\{never}][^/\\{never}]*$"


def blob_named(name: str) -> str | None:
    """The sha256 in a name like ``<sha256>`` or ``<sha256>.<suffix>``; None for any other name."""
    found = _BLOB.fullmatch(name)
    return found[1] if found else None


def check_file_name(name: str) -> str:
    """Checks and returns the plain name of a file.

    Raises:
        BadRequest: The name is empty or too long, begins with a dot, or has separators or control characters.
    """
    if not name or len(name.encode("utf-8", "surrogatepass")) > limits.NAME_LENGTH:
        raise BadRequest(f"the name of a file must have 1 to {limits.NAME_LENGTH} bytes", field="name")
    if name.startswith("."):
        raise BadRequest("the name of a file must not begin with a dot", field="name")
    if "/" in name or "\\" in name:
        raise BadRequest("the name of a file must not have slashes; use one plain name", field="name")
    if any(unicodedata.category(letter) in UNSEEN for letter in name):
        raise BadRequest("the name of a file must not have control characters", field="name")
    if SHA256.fullmatch(name[:64]):
        raise BadRequest(
            "a name that begins with a sha256 must be that sha256, with or without a short suffix", field="name"
        )
    return name


class NamedFiles:
    """Stores and finds files by plain names.

    Args:
        service: The blob service, which keeps the bytes.
        folder: The folder for files that are being received; it is created if it is missing.
        clock: Tells the time.
        reserve: Space that stays free on the disk of the folder, in bytes.
        private: Whether new names begin with a random token, and only such names are found.
    """

    def __init__(
        self, service: BlobService, folder: Path, clock: Clock, *, reserve: int = 0, private: bool = False
    ) -> None:
        self._service = service
        self._folder = folder
        self._clock = clock
        self._reserve = reserve
        self._private = private

    def name_for(self, wanted: str) -> str:
        """Returns the name for a new file that somebody wants to name so.

        Raises:
            BadRequest: The name is not valid, or too long with the token in front of it.
        """
        name = check_file_name(wanted)
        return check_file_name(f"{secrets.token_hex(TOKEN_BYTES)}-{name}") if self._private else name

    async def put(
        self, name: str, size: int, body: AsyncIterator[bytes], take: Callable[[], None] | None = None
    ) -> str:
        """Stores a file under a new name and returns its sha256.

        Args:
            name: The name.
            size: The announced size, in bytes.
            body: The bytes.
            take: Called once when nothing but the sender's limits can refuse the file; raises an error to refuse it.

        Raises:
            BadRequest: The name or the size is wrong.
            Conflict: The name is taken.
            TooLarge: The file is too large, or more bytes arrived than announced.
            QuotaExceeded: There is no space.
            Unavailable: The database or the store can't be used now.
        """
        check_file_name(name)
        if size > FILE_BYTES:
            raise TooLarge(
                f"a file with a plain name may have at most {format_size(FILE_BYTES)}; name larger ones by sha256"
            )
        if await self._service.catalogue.file(name) is not None:
            raise _taken(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._service.quota.receiving(size):
            need_room(self._folder, size, self._reserve)
            if take is not None:
                take()
            async with received(self._folder, "file", body, size) as came:
                if came.size != size:
                    raise BadRequest(f"{size} bytes were announced, but {came.size} arrived; send it again")
                place = await self._service.store.keep(came.sha256, size, came.file)
            now = self._clock()
            row = FileRow(name, came.sha256, now, now)
            await self._service.store_blob(came.sha256, size, place, NameFile(row))
        if await self._service.catalogue.file(name) != row:
            raise _taken(name)
        return came.sha256

    async def keep(self, body: bytes, sha256: str) -> None:
        """Stores bytes in memory as a blob without a plain name.

        Raises:
            QuotaExceeded: There is no space.
            Unavailable: The database or the store can't be used now.
        """

        async def whole() -> AsyncIterator[bytes]:
            yield body

        self._folder.mkdir(parents=True, exist_ok=True)
        with self._service.quota.receiving(len(body)):
            need_room(self._folder, len(body), self._reserve)
            async with received(self._folder, "made", whole(), len(body)) as came:
                place = await self._service.store.keep(sha256, came.size, came.file)
            await self._service.store_blob(sha256, len(body), place)

    async def sha256(self, name: str) -> str:
        """The sha256 of the blob that a name stands for.

        Raises:
            BadRequest: The name is not valid.
            NotFound: No file has the name.
            Unavailable: The database can't be used now.
        """
        named = blob_named(name)
        if named is not None:
            return named
        check_file_name(name)
        if self._private and _PRIVATE.fullmatch(name) is None:
            raise NotFound(
                f"there is no file '{name[:80]}' here: this hub finds files by the name in the answer to their upload"
            )
        row = await self._service.catalogue.file(name)
        if row is None:
            raise NotFound(f"there is no file '{name[:80]}' here")
        if self._service.stale(row.used):
            await self._service.catalogue.write(UseFile(name, self._clock()))
        return row.sha256


def _taken(name: str) -> Conflict:
    return Conflict(f"the name '{name[:80]}' is taken, and a stored file never changes; choose another name")
