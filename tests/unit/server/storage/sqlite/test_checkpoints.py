"""Checkpoints of the write-ahead log: made when enough was written, beside the commits, and again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asman_server.storage.database import SQLITE_CHECKPOINT_PAGES, make_engine
from asman_server.storage.sqlite.checkpoints import Checkpoints
from asman_server.storage.sqlite.connection import SqliteConnection
from devtools.patience import PATIENCE


class Counted(Checkpoints):
    """Checkpoints that say when they have copied."""

    copies: asyncio.Queue[int]
    failing = 0

    def _beside(self) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError("the disk is away")
        super()._beside()

    def _copy(self, driver: Any) -> None:
        super()._copy(driver)
        self.loop.call_soon_threadsafe(self.copies.put_nowait, self._pages)

    loop: asyncio.AbstractEventLoop


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Counted, SqliteConnection, Path]]:
    file = tmp_path / "hub.sqlite"
    engine = make_engine(f"sqlite:///{file}")
    connection = SqliteConnection(engine)
    made = Counted(engine, connection)
    made.copies = asyncio.Queue()
    made.loop = asyncio.get_running_loop()
    await connection.run(lambda: connection.execute("CREATE TABLE t (body BLOB)", ()))
    running = asyncio.create_task(made.run())
    yield made, connection, file
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await engine.dispose()


async def test_what_is_in_the_log_is_copied_once_enough_pages_were_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as (made, connection, file):
        await connection.run(lambda: connection.execute("INSERT INTO t VALUES (?)", (b"x" * 100_000,)))
        assert file.stat().st_size < 100_000
        made.wrote(SQLITE_CHECKPOINT_PAGES)
        made.begin()
        async with asyncio.timeout(PATIENCE):
            assert await made.copies.get() == 0
        assert file.stat().st_size > 100_000


async def test_fewer_pages_wait_for_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as (made, _, _):
        made.wrote(SQLITE_CHECKPOINT_PAGES - 1)
        made.begin()
        assert not made._due.is_set()
        made.wrote(1)
        made.begin()
        async with asyncio.timeout(PATIENCE):
            await made.copies.get()


async def test_a_checkpoint_that_fails_is_made_again_when_as_much_was_written_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as (made, _, _):
        made.failing = 1
        made.wrote(SQLITE_CHECKPOINT_PAGES)
        made.begin()
        async with asyncio.timeout(PATIENCE):
            while made._due.is_set():
                await asyncio.sleep(0)
        assert (made._pages, made.copies.empty()) == (0, True)
        made.wrote(SQLITE_CHECKPOINT_PAGES)
        made.begin()
        async with asyncio.timeout(PATIENCE):
            await made.copies.get()
