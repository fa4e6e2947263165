"""Checkpoints of SQLite's write-ahead log beside the commits, so that no commit waits for a whole checkpoint.

SQLite would make a checkpoint inside the commit with which the log reaches a limit, and that commit would take tens of
milliseconds. Here another connection makes passive checkpoints in a thread of its own, without a lock that commits
need. The few pages that were written meanwhile are copied on the writer thread, so that the log starts over and its
file does not grow: syncing a growing file takes longer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Unavailable

from ..database import SQLITE_CHECKPOINT_PAGES, durable_sqlite, unavailable
from ..writer_thread import WriterThread
from .connection import SqliteConnection

log = logging.getLogger("asman.hub.ledger")

LITTLE: Final = 300
"""Pages that may be checkpointed on the writer thread."""
BESIDE: Final = 4
"""Concurrent passes before the remainder is checkpointed on the writer thread."""


class Checkpoints:
    """Makes checkpoints of an SQLite database when its write-ahead log has grown enough.

    Args:
        engine: The database. When it is disposed of, the connection for checkpoints is closed.
        connection: The connection that writes to the database.
    """

    def __init__(self, engine: AsyncEngine, connection: SqliteConnection) -> None:
        self._writer = connection
        self._thread = WriterThread("asman-checkpoints")
        self._engine: Engine = create_engine(engine.url.set(drivername="sqlite"), pool_size=1, max_overflow=0)
        self._due = asyncio.Event()
        self._pages = 0
        event.listen(self._engine, "connect", durable_sqlite)
        event.listen(engine.sync_engine, "engine_disposed", self._close)

    def _close(self, _engine: Engine) -> None:
        self._thread.close(self._engine.dispose)

    def wrote(self, pages: int) -> None:
        """Counts pages that were written to the log, by estimate. Only the writer thread calls this."""
        self._pages += pages

    def begin(self) -> None:
        """Lets `run` make a checkpoint if one is due."""
        if self._pages >= SQLITE_CHECKPOINT_PAGES:
            self._due.set()

    async def run(self) -> None:
        """Makes checkpoints that are due, until it is cancelled."""
        while True:
            await self._due.wait()
            try:
                with unavailable("{}"):
                    for _ in range(BESIDE):
                        await self._thread.run(self._beside)
                        if self._pages < LITTLE:
                            break
                    if self._pages:
                        await self._writer.run(self._on_writer)
            except Unavailable as error:
                log.info("the write-ahead log can't be checkpointed now", extra={"error": error.message})
                self._pages = 0
            self._due.clear()

    def _beside(self) -> None:
        with self._engine.connect() as connection:
            self._copy(connection.connection.driver_connection)

    def _on_writer(self) -> None:
        self._writer.call(self._copy)

    def _copy(self, driver: Any) -> None:
        before = self._pages
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        # Pages that were written since it began are not copied yet. The log starts over when there are none.
        self._pages -= before
