"""Whole transactions at once: what writes is a plain function of a connection, and runs where it disturbs nobody.

For SQLite that is a thread with a connection of its own, so a transaction costs the event loop one hand-over. Through
an async driver it cost three for each statement, and each waited for its turn of a busy loop.

The connection stays the thread's until something fails or the database is disposed of: to take it from a pool and give
it back cost as much as a small commit without its sync. The driver begins no transactions by itself there; those of
SQLAlchemy do so with a statement of their own, and one statement alone (`append`) is a transaction anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from .database import writing_sqlite
from .writer_thread import WriterThread

Write = Callable[[Connection], None]


class Transactions:
    """See the module.

    Args:
        engine: The database. When it is disposed of, so is what is opened here.

    Attributes:
        engine: Whose connections write.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._loop_engine = engine
        self._thread = WriterThread("asman-writer")
        self._connection: Connection | None = None
        self.engine: Engine = engine.sync_engine
        if engine.dialect.name == "sqlite":
            self.engine = create_engine(engine.url.set(drivername="sqlite"), pool_size=1, max_overflow=0)
            event.listen(self.engine, "connect", writing_sqlite)
            event.listen(self.engine, "begin", _begin)
            event.listen(engine.sync_engine, "engine_disposed", self._close)

    def _close(self, _engine: Engine) -> None:
        self._thread.close(self._dispose)

    def _dispose(self) -> None:
        self._give_back()
        self.engine.dispose()

    async def run(self, write: Write) -> None:
        """Runs a function in a transaction: all that it writes is durable then, or nothing of it is written."""
        if self.engine is self._loop_engine.sync_engine:
            async with self._loop_engine.begin() as connection:
                await connection.run_sync(write)
        else:
            await self.alone(lambda: self.transact(write))

    async def alone(self, work: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Runs a function of SQLite's thread, which makes its own transactions: after what was asked for before.

        When this is cancelled, a function that has begun goes on, and later ones wait for it.

        Args:
            work: The function.
            then: What follows it there and is not waited for; see `WriterThread.run`.
        """
        await self._thread.run(work, then)

    # ---------------------------------------------------------------------------------- for functions of the thread

    def transact(self, write: Write) -> None:
        """Runs a function in a transaction of SQLite."""
        with self._held() as connection, connection.begin():
            write(connection)

    def append(self, text: str, row: tuple[Any, ...]) -> None:
        """Runs one statement of SQLite, which is a transaction by itself: past SQLAlchemy, in one call of the driver.

        Each call gives Python's lock away and waits to have it back, so one for the statement and one each to begin and
        to commit took longer beside a busy event loop.
        """
        self.driven(lambda driver: driver.execute(text, row))

    def driven(self, work: Callable[[Any], object]) -> None:
        """Runs a function of the driver's own connection, on which no transaction has begun."""
        with self._held() as connection:
            work(connection.connection.driver_connection)

    @contextmanager
    def _held(self) -> Iterator[Connection]:
        if self._connection is None:
            self._connection = self.engine.connect()
        try:
            yield self._connection
        except BaseException:
            self._give_back()
            raise

    def _give_back(self) -> None:
        """The pool rolls back what may be left of a transaction."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
