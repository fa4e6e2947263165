"""Reads tables in pages, in the order of their primary keys, so that no table has to fit into memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Table, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..storage.blob_changes import BlobRow
from ..storage.database import unavailable
from ..storage.tables import blobs

ROWS: Final = 64
"""Rows that are read in one step: a definition or a log chunk may have a MiB, and most have a few KiB."""
BLOBS: Final = 500
"""Rows of the blob catalogue that are read in one step."""
AWAY: Final = "the database can't be read now ({}); try again"


async def pages(
    source: AsyncEngine | AsyncConnection, table: Table, limit: int = ROWS, also: ColumnElement[Any] | None = None
) -> AsyncIterator[Sequence[Row[Any]]]:
    """The rows of a table, in pages.

    Args:
        source: The database, for a transaction of its own for each page, or a connection, for its transaction.
        table: The table.
        limit: Rows of a page.
        also: What is asked about each row besides its columns.

    Raises:
        Unavailable: The database can't be read now.
    """
    keys = list(table.primary_key.columns)
    every = (select(table) if also is None else select(table, also)).order_by(*keys).limit(limit)
    query = every
    while True:
        with unavailable(AWAY):
            if isinstance(source, AsyncEngine):
                async with source.connect() as connection:
                    found = (await connection.execute(query)).all()
            else:
                found = (await source.execute(query)).all()
        if found:
            yield found
        if len(found) < limit:
            return
        last = [found[-1]._mapping[key.name] for key in keys]
        query = every.where(tuple_(*keys) > tuple(last))


async def blob_pages(engine: AsyncEngine) -> AsyncIterator[list[BlobRow]]:
    """The rows of the blob catalogue by their sha256, in pages."""
    async for found in pages(engine, blobs, BLOBS):
        yield [BlobRow(**row._mapping) for row in found]


async def count(connection: AsyncConnection, table: Table) -> int:
    """Returns the number of rows of a table."""
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)
