"""Opening the database: SQLite in a file by default, Postgres by URL, brought to the newest schema at start."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import alembic.command
import alembic.config
import asyncpg
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from asman_shared.errors import Unavailable

MIGRATIONS = Path(__file__).parents[1] / "migrations"
OPEN_TIMEOUT = 30.0
"""Seconds that opening and migrating a database may take."""
CONNECT_TIMEOUT = 10.0
"""Seconds that Postgres may take to answer a new connection."""
STATEMENT_TIMEOUT = 60.0
"""Seconds that Postgres may take for one statement before it counts as away."""
LOCKED_PAUSE = 0.05
"""Seconds before a file of SQLite that somebody else migrates is tried again."""
SQLITE_CACHE_KIB: Final = 32 * 1024
"""Memory that the connection which writes to SQLite may use for pages; each that reads has the driver's 2 MiB."""
SQLITE_CHECKPOINT_PAGES: Final = 4000
"""Pages (of 4 KiB) in the write-ahead log before they are copied to their places."""
SQLITE_LOG_PAGES: Final = 4 * SQLITE_CHECKPOINT_PAGES
"""Pages in that log before the commit that makes so many copies them itself; see `sqlite.checkpoints`."""
MIGRATION_LOCK = 0x61736D616E
"""Advisory lock of Postgres under which one hub at a time migrates."""

DATABASE_ERRORS: Final[tuple[type[Exception], ...]] = (
    SQLAlchemyError,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Everything that a database that is away, full or broken raises.

SQLAlchemy wraps what its drivers raise for a statement, but not all that they raise while they connect: a Postgres
that is not there is an `OSError`, and one that turns us away was an error of asyncpg's own until SQLAlchemy 2.1.
"""


def reason_of(error: BaseException) -> str:
    """What a driver's error says, in one line."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0].rpartition(">: ")[2] if said else type(error).__name__


@contextmanager
def unavailable(sentence: str) -> Iterator[None]:
    """Turns what a database raises into `Unavailable`; ``{}`` in the sentence is what it said."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise Unavailable(sentence.replace("{}", reason_of(error))) from error


_SQLITE: Final = (
    "busy_timeout=5000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "temp_store=MEMORY",
    f"wal_autocheckpoint={SQLITE_CHECKPOINT_PAGES}",
    "secure_delete=OFF",
)


def durable_sqlite(connection: Any, _record: Any) -> None:
    """Write-ahead log, every commit synced to disk, and patience with a locked file."""
    _set(connection, *_SQLITE)


def writing_sqlite(connection: Any, record: Any) -> None:
    """The same for the one connection that writes, with memory for the pages that it writes again and again.

    Its driver begins no transactions by itself.

    Ids are hashes, so new jobs touch pages all over the indices: with the driver's own 2 MiB and a checkpoint after
    4 MiB, a commit of 1,000 jobs read and wrote most of them again (51 KiB a job at 100,000 jobs).
    """
    durable_sqlite(connection, record)
    connection.isolation_level = None
    _set(connection, f"cache_size=-{SQLITE_CACHE_KIB}", f"wal_autocheckpoint={SQLITE_LOG_PAGES}")


def _set(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def make_engine(url: str, *, pool: int = 5) -> AsyncEngine:
    """An engine for a database URL.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host/name``; the async driver is filled in.
        pool: Connections kept open at most.
    """
    parsed = make_url(url)
    if parsed.drivername == "sqlite":
        parsed = parsed.set(drivername="sqlite+aiosqlite")
    elif parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+asyncpg")
    if _is_sqlite(parsed):
        engine = create_async_engine(parsed, pool_size=pool, max_overflow=2)
        event.listen(engine.sync_engine, "connect", durable_sqlite)
        return engine
    bounds = {"timeout": CONNECT_TIMEOUT, "command_timeout": STATEMENT_TIMEOUT}
    return create_async_engine(parsed, pool_size=pool, max_overflow=2, pool_pre_ping=True, connect_args=bounds)


def _is_sqlite(url: Any) -> bool:
    return str(url.drivername).startswith("sqlite")


def _upgrade(connection: Connection) -> None:
    """Brings the schema to its newest version in one transaction: all of it, or nothing of it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    else:
        # The driver begins a transaction before it changes rows, but not before it changes tables.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


async def migrate(engine: AsyncEngine) -> None:
    """Brings the database to the newest schema.

    Raises:
        Unavailable: It can't be reached or changed.
    """
    with unavailable(f"the database {engine.url!r} can't be opened: {{}}"):
        async with asyncio.timeout(OPEN_TIMEOUT):
            while True:
                try:
                    async with engine.begin() as connection:
                        await connection.run_sync(_upgrade)
                except OperationalError as error:
                    # Another hub migrates this file, or makes it a write-ahead one, for which SQLite does not wait.
                    if "database is locked" not in str(error):
                        raise
                    await asyncio.sleep(LOCKED_PAUSE)
                else:
                    return
