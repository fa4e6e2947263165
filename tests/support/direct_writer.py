"""A writer that fills the tables at once, on either database."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.storage.commit import Commit
from asman_server.storage.database import primary_of, writable
from asman_server.storage.postgres.writer import PostgresWriter
from asman_server.storage.sql_writer import SqlWriter


class DirectWriter:
    """A `asman_server.storage.commit.CommitWriter` without a write buffer, for tests that look at the tables."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        sqlite = engine.dialect.name == "sqlite"
        self._postgres = None if sqlite else PostgresWriter(engine, primary_of(engine))
        self._sql = SqlWriter(engine.dialect) if sqlite else None

    async def commit(self, commit: Commit) -> None:
        """Writes all of a commit or nothing."""
        if self._postgres is not None:
            await self._postgres.commit(commit)
            return
        assert self._sql is not None
        with writable():
            async with self._engine.begin() as connection:
                await connection.run_sync(self._sql.write, commit)
