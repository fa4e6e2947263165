"""The catalogue of stored blobs and uploads in progress: read from the database, changed through the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import exists, func, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..storage.blob_changes import BlobChange, BlobRow, FileRow, UploadRow
from ..storage.blob_statements import named
from ..storage.database import unavailable
from ..storage.group_commit import GroupCommitter
from ..storage.tables import blobs, definitions, files, jobs, uploads

IN_LIST: Final = 500
"""Names asked for in one statement."""


class Catalogue:
    """Catalogue of blobs, uploads and named files: reads the database and writes through the group committer.

    Args:
        engine: The database, for reading.
        committer: Makes changes durable.

    Raises:
        Unavailable: (every method) The database can't be used now.
    """

    def __init__(self, engine: AsyncEngine, committer: GroupCommitter) -> None:
        self._engine = engine
        self._committer = committer

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with unavailable("the hub can't read its database now ({}); try again"):
            async with self._engine.connect() as connection:
                yield connection

    async def write(self, *changes: BlobChange) -> None:
        """Makes changes; returns when they are durable."""
        await self._committer.blobs(*changes)

    async def stored(self, keys: Collection[str]) -> dict[str, BlobRow]:
        """Returns the rows of the given blobs that are stored, by sha256."""
        found: dict[str, BlobRow] = {}
        if keys:
            async with self._reading() as connection:
                for part in _slices(keys):
                    rows = await connection.execute(select(blobs).where(blobs.c.sha256.in_(part)))
                    found.update((row.sha256, BlobRow(**row._mapping)) for row in rows)
        return found

    async def uploads(self, queues: Sequence[str] | None, keys: Collection[str]) -> list[UploadRow]:
        """The uploads of these blobs by people of these queues; None for all queues."""
        found: list[UploadRow] = []
        if keys:
            async with self._reading() as connection:
                for part in _slices(keys):
                    query = select(uploads).where(uploads.c.sha256.in_(part))
                    if queues is not None:
                        query = query.where(uploads.c.queue.in_(list(queues)))
                    found += [UploadRow(**row._mapping) for row in await connection.execute(query)]
        return found

    async def file(self, name: str) -> FileRow | None:
        """Returns the file row of a name that is not a sha256, or None."""
        async with self._reading() as connection:
            row = (await connection.execute(select(files).where(files.c.name == name))).first()
        return None if row is None else FileRow(**row._mapping)

    async def totals(self) -> tuple[int, int]:
        """Returns the number of stored blobs and their total size in bytes."""
        async with self._reading() as connection:
            query = select(func.count(), func.coalesce(func.sum(blobs.c.size), 0)).select_from(blobs)
            count, size = (await connection.execute(query)).one()
        return int(count), int(size)

    # -------------------------------------------------------------------------------------- what may be collected

    async def unused(self, before: int, after: BlobRow | None, limit: int) -> tuple[list[BlobRow], BlobRow | None]:
        """Some of the blobs that were last used before a time, without those that something names.

        Returns:
            The blobs, and after which one to go on; None at the end.
        """
        query = (
            select(blobs, named(blobs.c.sha256).label("named"))
            .where(blobs.c.used < before)
            .order_by(blobs.c.used, blobs.c.sha256)
            .limit(limit)
        )
        if after is not None:
            query = query.where(tuple_(blobs.c.used, blobs.c.sha256) > (after.used, after.sha256))
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        found = [(BlobRow(*row[:-1]), bool(row[-1])) for row in rows]
        return [row for row, is_named in found if not is_named], found[-1][0] if len(found) == limit else None

    async def untouched(self, before: int, limit: int) -> list[UploadRow]:
        """Some of the uploads that were last asked for before a time."""
        query = select(uploads).where(uploads.c.touched < before).order_by(uploads.c.touched).limit(limit)
        async with self._reading() as connection:
            return [UploadRow(**row._mapping) for row in await connection.execute(query)]

    async def unused_files(self, before: int, limit: int) -> list[FileRow]:
        """Some of the files that were last used before a time."""
        query = select(files).where(files.c.used < before).order_by(files.c.used).limit(limit)
        async with self._reading() as connection:
            return [FileRow(**row._mapping) for row in await connection.execute(query)]

    async def jobless(self, after: str, limit: int) -> tuple[list[str], str | None]:
        """Of the next definitions by id, those that no job has; and after which id to go on, None at the end."""
        has_job = exists().where(jobs.c.id == definitions.c.id)
        query = (
            select(definitions.c.id, has_job.label("has_job"))
            .where(definitions.c.id > after)
            .order_by(definitions.c.id)
            .limit(limit)
        )
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return [row[0] for row in rows if not row[1]], rows[-1][0] if len(rows) == limit else None

    async def places(self, keys: Iterable[str]) -> set[str]:
        """Returns the places in the store of these blobs and of their uploads."""
        found: set[str] = set()
        async with self._reading() as connection:
            for part in _slices(list(dict.fromkeys(keys))):
                # One statement, so that an upload that becomes a blob meanwhile is seen as one of the two.
                query = union_all(
                    *(select(table.c.place).where(table.c.sha256.in_(part)) for table in (blobs, uploads))
                )
                found.update(row[0] for row in await connection.execute(query))
        return found


def _slices(keys: Collection[str]) -> list[list[str]]:
    every = list(keys)
    return [every[at : at + IN_LIST] for at in range(0, len(every), IN_LIST)]
