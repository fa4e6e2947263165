"""Opens the writer of a database, each kind with its own."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from .address import is_sqlite
from .database import primary_of
from .postgres.shards import Fence
from .postgres.writer import PostgresWriter
from .sqlite.buffered_writer import BufferedWriter, open_buffered

Writer = BufferedWriter | PostgresWriter
"""A `commit.CommitWriter` that can also be flushed and closed."""


async def open_writer(engine: AsyncEngine, fence: Fence | None = None) -> Writer:
    """Opens the writer for a database in its newest schema.

    SQLite gets the write buffer. Postgres writes whole pages seldom enough to write to the tables at once.

    Args:
        engine: The database.
        fence: The shards that the hub owns in Postgres; None where nobody else writes.

    Raises:
        Unavailable: The database can't be used.
    """
    if is_sqlite(engine.url):
        return await open_buffered(engine)
    return PostgresWriter(engine, primary_of(engine), fence)
