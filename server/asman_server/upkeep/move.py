"""Moves a hub's store: its rows to another database, and its blobs to another place.

Blobs go first, each to the same name in the other place, so a move that was killed goes on with those that are missing.
The rows follow in one transaction, which is all of the move or nothing. The old store stays as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import LargeBinary, Table, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from asman_shared.errors import BadRequest, Conflict, NotFound, Unauthentic, Unavailable
from asman_shared.units import format_size, parse_size

from ..config import HubConfig
from ..disk_room import need_room
from ..migrations.schema import refuse_newer
from ..sole_hub import sole_hub, sole_hub_of_database
from ..storage import tables
from ..storage.address import is_sqlite, parsed
from ..storage.blob_changes import BlobRow
from ..storage.database import make_engine, migrate, own_sqlite, sqlite_file, unavailable, wait_until_there
from ..storage.open_writer import open_writer
from .check import Check, Report
from .copying import Present, copy_blob, need_own, several
from .objects import FolderObjects, Objects, Tell
from .rows import AWAY, BLOBS, ROWS, blob_pages, count, pages
from .snapshot import schema_of
from .stores import blob_objects, database_file

FOLDER: Final = "folder"
"""Word for the place of the database or of the blobs in the data folder."""
_STAY: Final = frozenset({tables.uploads, tables.daybook})
"""Tables whose rows stay: uploads in progress, whose bytes stay too, and the write buffer, which is empty."""
_MOVED: Final = tuple(table for table in tables.metadata.sorted_tables if table not in _STAY)


class Moved(Struct):
    """A move.

    Attributes:
        rows: The number of rows in the new database; 0 if the database stays.
        blobs: The number of blobs in the new place, also those that were there; 0 if they stay.
        blob_bytes: Their size, in bytes.
        report: The check of the new store.
        config: The settings of a hub on it.
    """

    rows: int
    blobs: int
    blob_bytes: int
    report: Report
    config: HubConfig


def target_of(config: HubConfig, database: str, blobs: str) -> HubConfig:
    """Returns the settings of a hub on the new store.

    Args:
        config: The settings of the hub on the old store.
        database: The URL of the new database, or `FOLDER`; empty for the old one.
        blobs: ``s3://bucket/prefix``, or `FOLDER`; empty for the old place.

    Raises:
        BadRequest: One of the two can't be read, or nothing would move.
    """
    changed: dict[str, Any] = {}
    if database:
        changed["database_url"] = "" if database == FOLDER else database
    if blobs:
        changed["blobs"] = "" if blobs == FOLDER else blobs
    new = config.model_copy(update=changed)
    if is_sqlite(new.database) and sqlite_file(new.database) is None:
        raise BadRequest("a database in memory ends with its hub: name a file, sqlite:///path")
    if _same_database(config, new) and _same_blobs(config, new):
        raise BadRequest("nothing would move: name a new database with --to-database-url, or a place with --to-blobs")
    return new


def _same_database(config: HubConfig, new: HubConfig) -> bool:
    file = sqlite_file(new.database)
    if file is not None:
        return file == sqlite_file(config.database)
    return parsed(new.database) == parsed(config.database)


def _same_blobs(config: HubConfig, new: HubConfig) -> bool:
    return config.blobs.rstrip("/") == new.blobs.rstrip("/")


class Move:
    """A move of a store.

    Args:
        config: The settings of the hub on the old store.
        new: Those of a hub on the new one.
        fault: Called with a sentence for each fault of the new store.
        tell: Tells about the progress.
    """

    def __init__(self, config: HubConfig, new: HubConfig, fault: Tell, tell: Tell) -> None:
        self._config = config
        self._new = new
        self._fault = fault
        self._tell = tell
        self._moves_rows = not _same_database(config, new)
        self._moves_blobs = not _same_blobs(config, new)
        self._count = 0
        self._bytes = 0
        self._copied = 0

    async def run(self) -> Moved:
        """Moves rows and blobs, and checks the new store.

        Raises:
            Conflict: The new store holds other data, or the old one has an older schema.
            Misconfigured: One of the databases has a newer schema, or a bucket can't be used.
            NotFound: There is no old store.
            QuotaExceeded: There is no room.
            Unavailable: A hub uses one of the two, or something can't be used now.
        """
        database_file(self._config)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(sole_hub(self._config.data_dir, self._config.database))
            if self._moves_rows:
                await stack.enter_async_context(sole_hub_of_database(self._new.database))
            old = await stack.enter_async_context(_engine(self._config.database))
            await schema_of(old, "the hub's database")
            writer = await open_writer(old)
            await writer.flushed()
            rows = 0
            if self._moves_rows:
                own_sqlite(self._new.database)
                new = await stack.enter_async_context(_engine(self._new.database))
                await refuse_newer(new)
                await migrate(new)
                await _need_empty(new)
            if self._moves_blobs:
                await self._blobs(old)
            if self._moves_rows:
                rows = await self._rows(old, new)
            else:
                with unavailable("the uploads in progress can't be ended: {}"):
                    async with old.begin() as connection:
                        await connection.execute(delete(tables.uploads))
        self._tell("checking the new store")
        report = await Check(self._new, self._fault, self._tell).run()
        return Moved(rows, self._count, self._bytes, report, self._new)

    # ---------------------------------------------------------------------------------------------------- blobs

    async def _blobs(self, old: AsyncEngine) -> None:
        source, target = blob_objects(self._config), blob_objects(self._new)
        async with source.open(), target.open():
            await need_own(target, old)
            if isinstance(target, FolderObjects):
                async with old.connect() as connection:
                    size = int(await connection.scalar(select(func.coalesce(func.sum(tables.blobs.c.size), 0))) or 0)
                need_room(self._config.data_dir, size, parse_size(self._config.disk_reserve))
            self._tell(f"copying blobs to {target.said}")
            present = Present(target)
            async for page in blob_pages(old):
                missing = [row for row in page if await present.size(row.place) != row.size]
                await several(lambda row: self._copy(row, source, target), missing)
                self._count += len(page)
                self._bytes += sum(row.size for row in page)
        self._tell(f"{self._count} blobs ({format_size(self._bytes)}), of which {self._copied} were missing")

    async def _copy(self, row: BlobRow, source: Objects, target: Objects) -> None:
        try:
            await copy_blob(row, source, row.place, target, row.place)
        except (NotFound, Unauthentic) as error:
            self._tell(f"not moved: {error.message}")  # and the check of the new store has it as a fault
        else:
            self._copied += 1

    # ----------------------------------------------------------------------------------------------------- rows

    async def _rows(self, old: AsyncEngine, new: AsyncEngine) -> int:
        rows = 0
        async with new.connect() as connection:
            for table in _MOVED:
                self._tell(f"copying rows of {table.name}")
                rows += await _copy_table(table, old, connection)
            with unavailable("the rows can't be committed: {}"):
                await connection.commit()
        return rows


@asynccontextmanager
async def _engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(url)
    try:
        await wait_until_there(engine)
        yield engine
    finally:
        await engine.dispose()


async def _copy_table(table: Table, old: AsyncEngine, new: AsyncConnection) -> int:
    """Copies the rows of a table in the transaction of a connection; returns their number.

    Raises:
        Unavailable: One of the databases can't be used, or takes a row not.
    """
    large = any(isinstance(column.type, LargeBinary) for column in table.columns)
    copied = 0
    async for page in pages(old, table, ROWS if large else BLOBS):
        with unavailable(f"rows of {table.name} can't be written to the new database: {{}}"):
            await new.execute(insert(table), [dict(row._mapping) for row in page])
        copied += len(page)
    with unavailable(AWAY):
        there = await count(new, table)
        async with old.connect() as connection:
            expected = await count(connection, table)
    if not there == copied == expected:
        raise Unavailable(f"the new database has {there} rows of {table.name} instead of {expected}: begin again")
    return copied


async def _need_empty(new: AsyncEngine) -> None:
    """Checks that a database has no rows.

    Raises:
        Conflict: It has some.
    """
    with unavailable(AWAY):
        async with new.connect() as connection:
            for table in tables.metadata.sorted_tables:
                if await connection.scalar(select(*table.primary_key.columns).limit(1)) is not None:
                    raise Conflict(
                        "the new database holds data already. If this same move was killed, it may have ended: look at "
                        "the database with 'asman check'. If the store was there before, its data is older: move that "
                        "away first. Otherwise name an empty database"
                    )
