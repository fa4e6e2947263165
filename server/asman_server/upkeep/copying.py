"""Copies blobs from one place to another, several at once, and verifies them on the way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Conflict, NotFound, Unauthentic

from ..blobs.store import sha256_of
from ..storage import tables
from ..storage.blob_changes import BlobRow
from ..storage.database import unavailable
from .objects import INCOMING, Objects, verified
from .rows import AWAY

AT_ONCE: Final = 4
"""Blobs that are copied or read at the same time; each takes up to two parts of S3 in memory."""

_PLACE: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(-[0-9a-f]+)?")
T = TypeVar("T")


async def several(work: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    """Does something for each of some items, `AT_ONCE` at a time. After an error, which is raised, no other begins."""
    rest = iter(items)
    errors: list[Exception] = []

    async def one_after_another() -> None:
        for item in rest:
            if errors:
                return
            try:
                await work(item)
            except Exception as error:
                errors.append(error)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(one_after_another())
    if errors:
        raise errors[0]


def check_place(row: BlobRow) -> None:
    """Checks that the place of a blob is one that a hub makes, before it becomes the name of a file.

    Raises:
        Unauthentic: It is not.
    """
    if _PLACE.fullmatch(row.place) is None or row.place[3:67] != row.sha256 or row.place[:2] != row.sha256[:2]:
        raise Unauthentic(f"the blob {row.sha256[:64]} has a place that no hub makes: {row.place[:80]}")


class Present:
    """The objects of a place that are there, listed for one folder at a time.

    Args:
        objects: The place.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._folder = ""
        self._sizes: dict[str, int] = {}

    async def size(self, name: str) -> int | None:
        """Returns the size of an object, in bytes; None for a missing one. Names are asked for folder by folder."""
        folder = name[: name.rindex("/") + 1]
        if folder != self._folder:
            self._folder, self._sizes = folder, {}
            async for page in self._objects.list(folder):
                self._sizes.update((each.name, each.size) for each in page)
        return self._sizes.get(name)


async def copy_blob(row: BlobRow, source: Objects, name: str, target: Objects, at: str) -> None:
    """Copies the bytes of a blob, and verifies them.

    Args:
        row: The blob.
        source: The objects that hold it.
        name: Its name there.
        target: The objects that get it.
        at: Its name there.

    Raises:
        NotFound: The bytes are gone.
        Unauthentic: The bytes are not those of the blob; nothing was stored.
        QuotaExceeded: There is no room for it.
        Unavailable: One of the two can't be used now.
    """
    check_place(row)
    pieces = verified(source.read(name), row.sha256, row.size, f"the blob {row.sha256} in {source.said}")
    try:
        await target.write(at, pieces)
    except NotFound:
        raise NotFound(f"the blob {row.sha256} is not in {source.said}") from None


async def need_own(target: Objects, old: AsyncEngine) -> None:
    """Checks that a place of blobs holds none but those of a store, as a copy that was killed leaves them.

    Raises:
        Conflict: It holds others.
    """
    async for page in target.list():
        names = [each.name for each in page if not each.name.startswith(f"{INCOMING}/")]
        query = select(tables.blobs.c.place).where(tables.blobs.c.sha256.in_([sha256_of(name) for name in names]))
        with unavailable(AWAY):
            async with old.connect() as connection:
                known = set(await connection.scalars(query))
        other = next((name for name in names if name not in known), None)
        if other is not None:
            raise Conflict(
                f"{target.said} holds other things than this store's blobs ({other[:80]}): name an empty place"
            )
