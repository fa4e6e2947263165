"""The catalogue of stored blobs and of uploads in progress."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import ColumnElement, exists, func, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..storage.blob_changes import BlobChange, BlobRow, FileRow, UploadRow
from ..storage.blob_statements import named
from ..storage.database import unavailable
from ..storage.group_commit import GroupCommitter
from ..storage.tables import aliases, blobs, definitions, files, jobs, uploads

IN_LIST: Final = 500
"""Largest number of names in one statement."""


class Catalogue:
    """Reads the catalogue from the database, and changes it with group commits.

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
        """Writes changes; returns when they are durable."""
        await self._committer.blobs(*changes)

    async def stored(self, keys: Collection[str]) -> dict[str, BlobRow]:
        """The stored ones of some blobs."""
        found: dict[str, BlobRow] = {}
        if keys:
            async with self._reading() as connection:
                for part in _slices(keys):
                    rows = await connection.execute(select(blobs).where(blobs.c.sha256.in_(part)))
                    found.update((row.sha256, BlobRow(**row._mapping)) for row in rows)
        return found

    async def uploads(self, queues: Sequence[str] | None, keys: Collection[str]) -> list[UploadRow]:
        """The uploads of some blobs from some queues; None for all queues."""
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
        """The file with a plain name."""
        async with self._reading() as connection:
            row = (await connection.execute(select(files).where(files.c.name == name))).first()
        return None if row is None else FileRow(**row._mapping)

    async def totals(self) -> tuple[int, int]:
        """The number of stored blobs, and their size in bytes."""
        async with self._reading() as connection:
            query = select(func.count(), func.coalesce(func.sum(blobs.c.size), 0)).select_from(blobs)
            count, size = (await connection.execute(query)).one()
        return int(count), int(size)

    # -------------------------------------------------------------------------------------- for the collector

    async def unused(self, before: int, after: BlobRow | None, limit: int) -> tuple[list[BlobRow], BlobRow | None]:
        """A page of the blobs that were last used before a time and that nothing names.

        Returns:
            The blobs, and the blob after which the next page begins (None at the end).
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
        """A page of the uploads that were last requested before a time."""
        query = select(uploads).where(uploads.c.touched < before).order_by(uploads.c.touched).limit(limit)
        async with self._reading() as connection:
            return [UploadRow(**row._mapping) for row in await connection.execute(query)]

    async def unused_files(self, before: int, limit: int) -> list[FileRow]:
        """A page of the files that were last used before a time."""
        query = select(files).where(files.c.used < before).order_by(files.c.used).limit(limit)
        async with self._reading() as connection:
            return [FileRow(**row._mapping) for row in await connection.execute(query)]

    async def jobless(self, after: str, limit: int) -> tuple[list[str], str | None]:
        """A page of the definitions without jobs, and the id after which the next page begins (None at the end)."""
        return await self._jobless(definitions.c.id, definitions.c.id, after, limit)

    async def jobless_aliases(self, after: str, limit: int) -> tuple[list[str], str | None]:
        """A page of the other ids of definitions that no job has, as `jobless`."""
        return await self._jobless(aliases.c.alias, aliases.c.id, after, limit)

    async def _jobless(
        self, key: ColumnElement[str], job_id: ColumnElement[str], after: str, limit: int
    ) -> tuple[list[str], str | None]:
        has_job = exists().where(jobs.c.id == job_id)
        query = select(key, has_job.label("has_job")).where(key > after).order_by(key).limit(limit)
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return [row[0] for row in rows if not row[1]], rows[-1][0] if len(rows) == limit else None

    async def places(self, keys: Iterable[str]) -> set[str]:
        """The places in the store of some blobs and of their uploads."""
        found: set[str] = set()
        async with self._reading() as connection:
            for part in _slices(list(dict.fromkeys(keys))):
                # One statement, so that an upload that becomes a blob meanwhile is found as one of the two.
                query = union_all(
                    *(select(table.c.place).where(table.c.sha256.in_(part)) for table in (blobs, uploads))
                )
                found.update(row[0] for row in await connection.execute(query))
        return found


def _slices(keys: Collection[str]) -> list[list[str]]:
    every = list(keys)
    return [every[at : at + IN_LIST] for at in range(0, len(every), IN_LIST)]
