"""Copies SQLite's file as of one commit, while a hub writes to it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Conflict, Misconfigured, Unavailable

from ..migrations.schema import known, newest, too_new, version_of
from ..storage.blob_changes import BlobRow
from ..storage.database import make_engine, unavailable
from ..storage.open_writer import open_writer
from ..storage.tables import blobs, uploads

PAGES: Final = 4096
"""Pages that are copied in one step."""
BUSY_SECONDS: Final = 30.0
"""Time that a step waits for SQLite's file, in seconds."""
_FAULTS: Final = 5
"""Faults that the sentence about a damaged file names."""


def copy_database(source: Path, target: Path) -> None:
    """Copies a database as of one commit into a new file.

    One read transaction lasts for the whole copy, so commits of the hub neither change nor restart the copy. Until it
    ends, SQLite's write-ahead log grows with what is written meanwhile.

    Raises:
        Unavailable: The database can't be read, or the copy can't be written.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as reader,
            closing(sqlite3.connect(target, timeout=BUSY_SECONDS)) as writer,
        ):
            reader.isolation_level = None
            reader.execute("PRAGMA query_only=ON")
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reader.backup(writer, pages=PAGES)
    except sqlite3.Error as error:
        raise Unavailable(f"the database {source} can't be copied: {error}") from error


def check_file(file: Path) -> None:
    """Checks the structure of a database's file.

    Raises:
        Misconfigured: It is damaged.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as opened:
            found = [str(row[0]) for row in opened.execute(f"PRAGMA quick_check({_FAULTS})")]
    except sqlite3.Error as error:
        found = [str(error)]
    if found != ["ok"]:
        raise Misconfigured(f"the database {file} is damaged: {'; '.join(found)[:500]}")


def close_file(file: Path) -> None:
    """Brings the write-ahead log of a database that nobody uses into its file, removes the log, and syncs the file.

    Raises:
        Unavailable: The file can't be written.
    """
    try:
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as opened:
            opened.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        raise Unavailable(f"the database {file} can't be written: {error}") from error
    with file.open("rb") as synced:
        os.fsync(synced.fileno())


async def schema_of(engine: AsyncEngine, what: str) -> str:
    """Returns the version of a database's schema, which is the newest.

    Raises:
        Conflict: It has an older version, or no tables of a hub.
        Misconfigured: It has a newer version.
        Unavailable: The database can't be read.
    """
    with unavailable(f"{what} can't be read: {{}}"):
        async with engine.connect() as connection:
            version = await connection.run_sync(version_of)
    if not version:
        raise Conflict(f"{what} is not one of a hub, or no hub was started on it yet")
    if version not in known():
        raise too_new(version, what)
    if version != newest():
        raise Conflict(
            f"{what} has an older schema ({version}, and this Asman's is {newest()}): start this version's hub on it "
            "once, which upgrades it, or use the Asman that it is of"
        )
    return version


class Snapshot:
    """A copy of a hub's database.

    Attributes:
        file: The file.
        engine: The database, while it is open.
    """

    def __init__(self, file: Path, engine: AsyncEngine) -> None:
        self.file = file
        self.engine = engine

    async def forget(self, lost: Sequence[BlobRow]) -> None:
        """Removes rows of the blob catalogue whose bytes are lost, as a hub does that misses them."""
        with unavailable(f"the copy {self.file} can't be written: {{}}"):
            async with self.engine.begin() as connection:
                for row in lost:
                    await connection.execute(
                        delete(blobs).where(blobs.c.sha256 == row.sha256, blobs.c.place == row.place)
                    )


@asynccontextmanager
async def snapshot(source: Path, target: Path) -> AsyncIterator[Snapshot]:
    """Makes a copy of a hub's database as of one commit; see `copy_database`.

    All rows of the copy are in their tables: its write buffer is flushed. Uploads in progress are not in it, because
    their bytes are not. After the block the copy is one closed file.

    Raises:
        Conflict: The database has an older schema.
        Misconfigured: The database is damaged, or has a newer schema.
        Unavailable: The database can't be read, or the copy can't be written.
    """
    for end in ("", "-wal", "-shm", "-journal"):
        target.with_name(target.name + end).unlink(missing_ok=True)
    await asyncio.to_thread(copy_database, source, target)
    await asyncio.to_thread(check_file, target)
    engine = make_engine(f"sqlite:///{target}")
    try:
        await schema_of(engine, f"the database {source}")
        writer = await open_writer(engine)
        await writer.flushed()
        with unavailable(f"the copy {target} can't be written: {{}}"):
            async with engine.begin() as connection:
                await connection.execute(delete(uploads))
        yield Snapshot(target, engine)
    finally:
        await engine.dispose()
    await asyncio.to_thread(close_file, target)
