"""Checks a hub's store, also beside the running hub, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct
from sqlalchemy import URL, ColumnElement, Row, Table, and_, event, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from asman_shared.errors import Misconfigured, NotFound, Unauthentic

from ..blobs.store import sha256_of
from ..config import HubConfig
from ..names import UNKEYED, short_names
from ..storage import tables
from ..storage.blob_changes import BlobRow
from ..storage.blob_statements import named
from ..storage.database import make_engine, unavailable, wait_until_there
from .copying import AT_ONCE, check_place, several
from .objects import Objects, drained, verified
from .row_checks import LOOKS, wrong_with
from .rows import AWAY, BLOBS, count, pages
from .snapshot import check_file, schema_of
from .stores import SECRET_NAME, blob_objects, database_file

_BUSY: Final = "busy_timeout=30000"

_OF_JOB: Final = {
    table: exists().where(tables.jobs.c.queue == table.c.queue, tables.jobs.c.id == table.c[key]).label("has_job")
    for table, key in (
        (tables.results, "id"),
        (tables.log_chunks, "job"),
        (tables.signatures, "id"),
        (tables.first_results, "id"),
        (tables.door_notes, "id"),
        (tables.as_sent, "id"),
    )
}
_ALSO: Final[dict[Table, ColumnElement[Any]]] = {
    **_OF_JOB,
    tables.jobs: exists().where(tables.definitions.c.id == tables.jobs.c.id).label("has_definition"),
    tables.result_blobs: exists().where(tables.blobs.c.sha256 == tables.result_blobs.c.sha256).label("is_stored"),
    tables.files: exists().where(tables.blobs.c.sha256 == tables.files.c.sha256).label("is_stored"),
    tables.definition_blobs: exists()
    .where(tables.blobs.c.sha256 == tables.definition_blobs.c.sha256)
    .label("is_stored"),
    tables.blobs: named(tables.blobs.c.sha256).label("is_named"),
}
"""Questions beside the columns of a table, in the same statement, so that a hub changes none without the other."""


class Report(Struct):
    """The findings about a store.

    Attributes:
        schema: The version of the database's schema.
        rows: The number of rows of each table.
        blobs: The number of stored blobs.
        blob_bytes: Their size, in bytes.
        unnamed: Blobs that nothing names; the hub removes them after their retention.
        awaited: Blobs that definitions name and that are not stored: they may still be sent.
        strays: Objects beside the catalogue; the hub removes old ones.
        faults: The number of faults.
    """

    schema: str = ""
    rows: dict[str, int] = {}
    blobs: int = 0
    blob_bytes: int = 0
    unnamed: int = 0
    awaited: int = 0
    strays: int = 0
    faults: int = 0


class Check:
    """A check of a store.

    Args:
        config: The hub's settings.
        fault: Called with a sentence for each fault.
        tell: Called with a sentence about the progress.
    """

    def __init__(self, config: HubConfig, fault: Callable[[str], None], tell: Callable[[str], None]) -> None:
        self._config = config
        self._fault = fault
        self._tell = tell
        self._report = Report(rows={})
        self._short_name = UNKEYED
        self._engine: AsyncEngine
        self._objects: Objects = blob_objects(config)

    async def run(self) -> Report:
        """Checks everything.

        Raises:
            Conflict: The database has an older schema, or none.
            Misconfigured: The database has a newer schema, or the bucket can't be used.
            NotFound: There is no database.
            Unavailable: The database or the store of blobs can't be read now.
        """
        file = database_file(self._config)
        secret = await asyncio.to_thread(self._secret)
        self._short_name = short_names(secret)
        self._engine = _reading_engine(self._config.database, file)
        try:
            await wait_until_there(self._engine)
            self._report.schema = await schema_of(self._engine, "the database")
            if file is not None:
                self._tell("checking the database's file")
                await asyncio.to_thread(self._file, file)
            for table in tables.metadata.sorted_tables:
                if table is not tables.blobs:
                    self._tell(f"checking {table.name}")
                    await self._table(table)
            async with self._objects.open():
                self._tell("checking blobs")
                await self._blobs()
                self._tell("looking for other objects")
                await self._strays()
        finally:
            await self._engine.dispose()
        return self._report

    def _found(self, sentence: str) -> None:
        self._report.faults += 1
        self._fault(sentence)

    def _secret(self) -> bytes:
        try:
            return (self._config.data_dir / SECRET_NAME).read_bytes()
        except OSError as error:
            self._found(f"the hub's secret can't be read in {self._config.data_dir}: {error.strerror}")
            return b""

    def _file(self, file: Path) -> None:
        try:
            check_file(file)
        except Misconfigured as error:
            self._found(error.message)

    # ----------------------------------------------------------------------------------------------------- rows

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with unavailable(AWAY):
            async with self._engine.connect() as connection:
                yield connection

    async def _table(self, table: Table) -> None:
        found = 0
        if table in LOOKS or table is tables.definition_blobs:
            async for rows in pages(self._engine, table, also=_ALSO.get(table)):
                found += len(rows)
                await asyncio.to_thread(self._look, table, rows)
        else:
            async with self._reading() as connection:
                found = await count(connection, table)
        self._report.rows[table.name] = found

    def _look(self, table: Table, rows: Sequence[Row[Any]]) -> None:
        if table is tables.definition_blobs:
            self._report.awaited += sum(not row.is_stored for row in rows)
            return
        for row in rows:
            for wrong in wrong_with(table, row):
                self._found(f"{self._words(table, row)}: {wrong}")

    def _words(self, table: Table, row: Row[Any]) -> str:
        """Returns the words for a row, without the name of its queue, which is a secret."""
        about = row._mapping
        name = next(str(about[key])[:64] for key in ("id", "job", "name", "number") if key in about)
        if table is tables.log_chunks:
            name += f" from line {row.first} on"
        queue = f" in queue {self._short_name(row.queue)}" if "queue" in about else ""
        return f"{LOOKS[table][0]} {name}{queue}"

    # ---------------------------------------------------------------------------------------------------- blobs

    async def _blobs(self) -> None:
        async for rows in pages(self._engine, tables.blobs, BLOBS, _ALSO[tables.blobs]):
            self._report.blobs += len(rows)
            self._report.blob_bytes += sum(row.size for row in rows)
            self._report.unnamed += sum(not row.is_named for row in rows)
            await several(self._blob, [BlobRow(*tuple(row)[:-1]) for row in rows])
        self._report.rows[tables.blobs.name] = self._report.blobs

    async def _blob(self, row: BlobRow) -> None:
        what = f"the blob {row.sha256}"
        try:
            check_place(row)
            await drained(verified(self._objects.read(row.place), row.sha256, row.size, what))
        except NotFound:
            wrong = f"{what} is missing in {self._objects.said}"
        except Unauthentic as error:
            wrong = error.message
        else:
            return
        # The hub may have removed it meanwhile, the row first.
        at = tables.blobs.c
        query = select(at.place).where(and_(at.sha256 == row.sha256, at.place == row.place))
        async with self._reading() as connection:
            still = await connection.scalar(query)
        if still is not None:
            self._found(wrong)

    async def _strays(self) -> None:
        async for page in self._objects.list():
            ours = {each.name: sha256_of(each.name) for each in page if sha256_of(each.name)}
            known: set[str] = set()
            async with self._reading() as connection:
                for table in (tables.blobs, tables.uploads):
                    query = select(table.c.place).where(table.c.sha256.in_(list(ours.values())))
                    known.update(await connection.scalars(query))
            known |= {f"incoming/{place.rpartition('/')[2]}" for place in known}
            self._report.strays += len(ours.keys() - known)


def _reading_engine(url: str, file: Path | None) -> AsyncEngine:
    """Makes an engine whose connections can't write."""
    if file is None:
        return make_engine(url, pool=2).execution_options(postgresql_readonly=True)
    database = f"file:{quote(str(file))}"
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=database, query={"mode": "rw", "uri": "true"}), pool_size=AT_ONCE
    )
    event.listen(engine.sync_engine, "connect", _read_only)
    return engine


def _read_only(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (_BUSY, "query_only=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
