"""Whole transactions at once: what writes is a plain function of a connection, and runs where it disturbs nobody.

For SQLite that is a thread with a connection of its own, so a transaction costs the event loop one hand-over. Through
an async driver it cost three for each statement, and each waited for its turn of a busy loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from .database import writing_sqlite

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
        self._thread: ThreadPoolExecutor | None = None
        self.engine: Engine = engine.sync_engine
        if engine.dialect.name == "sqlite":
            self.engine = create_engine(engine.url.set(drivername="sqlite"), pool_size=1, max_overflow=0)
            event.listen(self.engine, "connect", writing_sqlite)
            event.listen(engine.sync_engine, "engine_disposed", self._close)

    def _close(self, _engine: Engine) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self.engine.dispose).result()
            thread.shutdown()

    async def run(self, write: Write) -> None:
        """Runs a function in a transaction: all that it writes is durable then, or nothing of it is written."""
        if self.engine is self._loop_engine.sync_engine:
            async with self._loop_engine.begin() as connection:
                await connection.run_sync(write)
        else:
            await self.alone(lambda: self._transact(write))

    async def alone(self, work: Callable[[], None]) -> None:
        """Runs a function of SQLite's thread, which makes its own transactions: after what was asked for before.

        When this is cancelled, the function goes on, and later ones wait for it.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "asman-writer")
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _transact(self, write: Write) -> None:
        with self.engine.begin() as connection:
            write(connection)
