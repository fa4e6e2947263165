"""The one connection that writes to SQLite, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from ..database import writing_sqlite
from ..writer_thread import WriterThread


class SqliteConnection:
    """Runs plain functions of a connection in a thread, so that a transaction costs the event loop one hand-over.

    An async driver costs several hand-overs for each statement, and each waits for its turn in a busy event loop. The
    thread keeps its connection until something fails or the engine is disposed of, because taking one from a pool costs
    as much as a small commit. The driver begins no transactions by itself. SQLAlchemy's transactions begin with a
    statement of their own, and a single statement (`execute`) is a transaction anyway.

    Args:
        engine: The database. When it is disposed of, the connection is closed.

    Attributes:
        engine: The synchronous engine that makes the connection.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._thread = WriterThread("asman-writer")
        self._connection: Connection | None = None
        self.engine: Engine = create_engine(engine.url.set(drivername="sqlite"), pool_size=1, max_overflow=0)
        event.listen(self.engine, "connect", writing_sqlite)
        event.listen(self.engine, "begin", _begin)
        event.listen(engine.sync_engine, "engine_disposed", self._close)

    def _close(self, _engine: Engine) -> None:
        self._thread.close(self._dispose)

    def _dispose(self) -> None:
        self._give_back()
        self.engine.dispose()

    async def run(self, work: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Runs a function in the thread, after all earlier ones.

        If this is cancelled, a function that has begun finishes, and later ones wait for it.

        Args:
            work: The function. It uses the methods below.
            then: Another function that follows in the thread without being awaited; see `WriterThread.run`.
        """
        await self._thread.run(work, then)

    # ------------------------------------------------------------------------------------- for functions in the thread

    def transact(self, write: Callable[[Connection], None]) -> None:
        """Runs a function in a transaction: everything that it writes is durable then, or none of it."""
        with self._held() as connection, connection.begin():
            write(connection)

    def execute(self, text: str, row: tuple[Any, ...]) -> None:
        """Runs one statement, which is a transaction by itself, in one call of the driver.

        Each call of the driver releases Python's lock and waits to get it back. Beside a busy event loop, separate
        calls to begin and to commit would take longer than the statement.
        """
        self.call(lambda driver: driver.execute(text, row))

    def call(self, work: Callable[[Any], object]) -> None:
        """Runs a function of the driver's own connection, outside any transaction."""
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
        """Returns the connection to the pool, which rolls back an open transaction."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
