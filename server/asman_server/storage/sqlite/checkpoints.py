"""Copies SQLite's write-ahead log to its places beside the commits, so that none has to wait until all is copied.

SQLite does that inside the commit with which the log has grown to a bound, which then takes tens of milliseconds. Here,
another connection does it in a thread of its own, as SQLite's passive checkpoints may: it takes no lock that a commit
needs. What was written meanwhile, which is little, is copied between two commits, so that the log begins anew and its
file does not grow: to sync a file that does takes half as long again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Unavailable

from ..database import SQLITE_CHECKPOINT_PAGES, durable_sqlite, unavailable
from ..transactions import Transactions
from ..writer_thread import WriterThread

log = logging.getLogger("asman.hub.ledger")

LITTLE: Final = 300
"""Pages that may be copied between two commits: what is more is copied beside them again, for some times."""
BESIDE: Final = 4
"""How often, before what is left then is copied between two."""


class Checkpoints:
    """See the module.

    Args:
        engine: Of an SQLite database. When it is disposed of, so is what is opened here.
        transactions: Those that write to it.
    """

    def __init__(self, engine: AsyncEngine, transactions: Transactions) -> None:
        self._transactions = transactions
        self._thread = WriterThread("asman-checkpoints")
        self._engine: Engine = create_engine(engine.url.set(drivername="sqlite"), pool_size=1, max_overflow=0)
        self._due = asyncio.Event()
        self._pages = 0
        event.listen(self._engine, "connect", durable_sqlite)
        event.listen(engine.sync_engine, "engine_disposed", self._close)

    def _close(self, _engine: Engine) -> None:
        self._thread.close(self._engine.dispose)

    def wrote(self, pages: int) -> None:
        """About so many pages of the log were written; to be called by the thread that did."""
        self._pages += pages

    def begin(self) -> None:
        """Lets `run` make a checkpoint if one is due."""
        if self._pages >= SQLITE_CHECKPOINT_PAGES:
            self._due.set()

    async def run(self) -> None:
        """Makes those that are due, until it is cancelled."""
        while True:
            await self._due.wait()
            try:
                with unavailable("{}"):
                    for _ in range(BESIDE):
                        await self._thread.run(self._beside)
                        if self._pages < LITTLE:
                            break
                    if self._pages:
                        await self._transactions.alone(lambda: self._transactions.driven(self._copy))
            except Unavailable as error:
                log.info("the write-ahead log can't be copied now", extra={"error": error.message})
                self._pages = 0
            self._due.clear()

    def _beside(self) -> None:
        with self._engine.connect() as connection:
            self._copy(connection.connection.driver_connection)

    def _copy(self, driver: Any) -> None:
        before = self._pages
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        # What was written since it began is still to be copied. The log begins anew when that is nothing.
        self._pages -= before
