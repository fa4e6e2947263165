"""Opens the database (SQLite in a file, or Postgres by URL) and brings it to the newest schema."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import alembic.command
import alembic.config
import asyncpg
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from asman_shared.disk.private_folder import OTHERS
from asman_shared.errors import Misconfigured, Unavailable

from .address import is_sqlite, parsed
from .commit import Unwritable
from .primary import Primary

log = logging.getLogger("asman.hub.database")

MIGRATIONS = Path(__file__).parents[1] / "migrations"
OPEN_TIMEOUT = 30.0
"""Time limit for opening and migrating a database, in seconds."""
CONNECT_TIMEOUT = 10.0
"""Time limit for a new connection to Postgres, in seconds."""
STARTING_PAUSE = 0.25
"""Pause before a new try to reach a Postgres that is starting, in seconds."""
STATEMENT_TIMEOUT = 60.0
"""Time limit for one statement of Postgres, in seconds. After it the database counts as unavailable."""
ANSWER_TIMEOUT = 5.0
"""Time within which an idle connection to Postgres must answer to be used again, in seconds."""
CLOSE_SECONDS = 3.0
"""Time limit for the polite end of all connections of an engine, in seconds."""
LOCKED_PAUSE = 0.05
"""Pause before a new try to migrate a file of SQLite that another hub has locked, in seconds."""
SQLITE_CACHE_KIB: Final = 32 * 1024
"""Page cache of the connection that writes to SQLite, in KiB; each reading connection has the driver's 2 MiB."""
SQLITE_CHECKPOINT_PAGES: Final = 4000
"""Pages (of 4 KiB) in the write-ahead log before a checkpoint."""
SQLITE_LOG_PAGES: Final = 4 * SQLITE_CHECKPOINT_PAGES
"""Pages in that log from which a commit makes the checkpoint itself; see `sqlite.checkpoints`."""
MIGRATION_LOCK = 0x61736D616E
"""Advisory lock of Postgres that lets one hub at a time migrate."""

_CONNECTIONS: Final = 20
"""Number of connections that no engine exceeds."""
_PRIMARY: Final = "asman_primary"
"""The option of an engine that holds what makes its connections."""

DATABASE_ERRORS: Final[tuple[type[Exception], ...]] = (
    SQLAlchemyError,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""All errors of a database that is unreachable, full or broken.

SQLAlchemy wraps the drivers' errors of statements, but not all errors of connecting: an unreachable Postgres raises an
`OSError`, and one that refuses the connection raised an error of asyncpg's own until SQLAlchemy 2.1.
"""


class Unreadable(Misconfigured):
    """A stored row can't be read: it is damaged, or of another version."""


def reason_of(error: BaseException) -> str:
    """The message of a driver's error, in one line."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0].rpartition(">: ")[2] if said else type(error).__name__


REFUSALS: Final = (UnicodeError, OverflowError, sqlite3.DataError, sqlite3.IntegrityError, asyncpg.DataError)
"""Errors of drivers that refuse a value: a text or a number that a column can't hold."""
REFUSING_STATES: Final = ("22", "23", "54")
"""Classes of Postgres' SQLSTATE that say so: data exceptions, broken constraints, and program limits."""


def refuses(error: BaseException) -> bool:
    """Returns whether an error says that the database works, and refuses a value that it will always refuse."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, REFUSALS) or str(getattr(seen, "sqlstate", ""))[:2] in REFUSING_STATES:
            return True
        seen = getattr(seen, "orig", None) or seen.__cause__
    return False


@contextmanager
def writable() -> Iterator[None]:
    """Turns errors of a commit into `Unwritable` if the database refuses its contents, and else `Unavailable`."""
    try:
        yield
    except (*DATABASE_ERRORS, *REFUSALS) as error:
        raise (Unwritable if refuses(error) else Unavailable)(reason_of(error)) from error


@contextmanager
def unavailable(sentence: str) -> Iterator[None]:
    """Turns errors of the database into `Unavailable`; ``{}`` in the sentence becomes the error's message."""
    try:
        yield
    except (*DATABASE_ERRORS, *REFUSALS) as error:
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
    """Sets a connection of SQLite to use a write-ahead log, sync every commit, and wait for a locked file."""
    _set(connection, *_SQLITE)


def writing_sqlite(connection: Any, record: Any) -> None:
    """Sets up the one connection that writes to SQLite: as `durable_sqlite`, with a larger page cache.

    Ids are hashes, so new jobs touch pages all over the indices. With the driver's own cache and checkpoints, a large
    commit would read and write most of those pages again. The driver begins no transactions by itself.
    """
    durable_sqlite(connection, record)
    connection.isolation_level = None
    _set(connection, f"cache_size=-{SQLITE_CACHE_KIB}", f"wal_autocheckpoint={SQLITE_LOG_PAGES}")


def _set(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def make_engine(url: str, *, pool: int = 5, primary: Primary | None = None) -> AsyncEngine:
    """Makes an engine for a database URL.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host/name``; the async driver is filled in.
        pool: Connections kept open at most.
        primary: Makes the connections to Postgres; None for one of the engine's own.
    """
    address = parsed(url)
    if is_sqlite(address):
        engine = create_async_engine(address.set(drivername="sqlite+aiosqlite"), pool_size=pool, max_overflow=2)
        event.listen(engine.sync_engine, "connect", durable_sqlite)
        return engine
    primary = primary or make_primary(url)
    engine = create_async_engine(
        address.set(drivername="postgresql+asyncpg"), pool_size=pool, max_overflow=2, async_creator=primary.connect
    )
    event.listen(engine.sync_engine, "connect", partial(_note_generation, primary))
    event.listen(engine.sync_engine, "checkout", partial(_refuse_dead, primary))
    engine.update_execution_options(**{_PRIMARY: primary})
    return engine


async def close_engine(engine: AsyncEngine) -> None:
    """Closes the connections of an engine, within `CLOSE_SECONDS`: a server that is away never says goodbye."""
    left = CLOSE_SECONDS
    for _ in range(_CONNECTIONS):
        try:
            async with asyncio.timeout(left):
                await engine.dispose()
        except TimeoutError:  # of the first connection, which is given up; the next ones get no time of their own
            if left:
                log.warning("the database did not take its leave in %g s: its connections are cut off", left)
            left = 0.0
        else:
            return
    await engine.dispose(close=False)


def make_primary(url: str) -> Primary:
    """Makes what connects to a Postgres; see `primary`.

    Raises:
        Misconfigured: A file that the URL names can't be read.
    """
    address = parsed(url)
    for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        file = address.query.get(name)
        if isinstance(file, str) and not os.access(file, os.R_OK):
            raise Misconfigured(f"the hub can't read {file}, which the URL of the database names as {name}")
    return Primary(address, connect_timeout=CONNECT_TIMEOUT, statement_timeout=STATEMENT_TIMEOUT)


def primary_of(engine: AsyncEngine) -> Primary:
    """Returns what connects an engine to its Postgres."""
    found: Primary = engine.get_execution_options()[_PRIMARY]
    return found


def _note_generation(primary: Primary, _connection: Any, record: Any) -> None:
    record.info["generation"] = primary.generation


def _refuse_dead(primary: Primary, connection: Any, record: Any, _proxy: Any) -> None:
    """Lets the pool replace a connection that is silent or leads to a server that is not the primary any more."""
    if record.info.get("generation") != primary.generation:
        raise DisconnectionError("another server is the primary now")
    try:
        connection.run_async(_answers)
    except Exception as error:  # of any class: a dead session of this driver may raise all sorts
        raise InvalidatePoolError(reason_of(error)) from error


async def _answers(connection: Any) -> None:
    await connection.fetchval("SELECT 1", timeout=ANSWER_TIMEOUT)


def sqlite_folder(url: str) -> Path | None:
    """Returns the folder of SQLite's file; None for Postgres, and for SQLite in memory."""
    file = sqlite_file(url)
    return None if file is None else file.parent


def sqlite_file(url: str) -> Path | None:
    """Returns SQLite's file, without links on the way; None for Postgres, and for SQLite in memory."""
    address = parsed(url)
    if not is_sqlite(address) or address.database in (None, "", ":memory:"):
        return None
    return Path(str(address.database)).resolve()


def own_sqlite(url: str) -> str:
    """Makes SQLite's file, or takes one that exists, and closes it and its logs to other users.

    SQLite gives the logs that it makes later the permissions of the file. Nothing is done for another database, and for
    a file that can't be made: opening it says why.

    Returns:
        The reason why others may read the file all the same; empty if they may not.
    """
    file = sqlite_file(url)
    if file is None:
        return ""
    with suppress(OSError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for end in ("", "-wal", "-shm", "-journal"):
        each = file.with_name(file.name + end)
        try:
            if each.stat().st_mode & OTHERS:
                each.chmod(0o600)
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"other users may read {each}: {error.strerror}; make it the hub's own user's, and 'chmod 600' it"
    return ""


def _upgrade(connection: Connection) -> None:
    """Brings the schema to its newest version in one transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    else:
        # The driver begins a transaction before it changes rows, but not before it changes the schema.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


async def wait_until_there(engine: AsyncEngine) -> None:
    """Waits for a Postgres that is still starting, as it does where a hub and its database are started together.

    Raises:
        Unavailable: It can't be reached within `OPEN_TIMEOUT`, or refuses the connection.
    """
    if is_sqlite(engine.url):
        return
    with unavailable(f"the database {engine.url!r} can't be opened: {{}}"):
        (await first_connection(primary_of(engine))).terminate()


async def first_connection(primary: Primary) -> Any:
    """Opens a connection to a Postgres that may be starting; see `wait_until_there` and `Primary.connect`."""
    until = asyncio.get_running_loop().time() + OPEN_TIMEOUT
    said = False
    while True:
        try:
            return await primary.connect()
        except DATABASE_ERRORS as error:
            if not _starting(error) or asyncio.get_running_loop().time() > until:
                raise
            if not said:
                log.warning("waiting for the database", extra={"reason": reason_of(error)})
            said = True
        await asyncio.sleep(STARTING_PAUSE)


def _starting(error: BaseException | None) -> bool:
    """Returns whether an error is that of a Postgres that does not listen yet, or not to anybody."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError | asyncpg.CannotConnectNowError):
            return True
        error = getattr(error, "orig", None) or error.__cause__
    return False


async def migrate(engine: AsyncEngine) -> None:
    """Brings the database to the newest schema.

    Raises:
        Unavailable: The database can't be reached or changed.
    """
    with unavailable(f"the database {engine.url!r} can't be opened: {{}}"):
        async with asyncio.timeout(OPEN_TIMEOUT):
            while True:
                try:
                    async with engine.begin() as connection:
                        await connection.run_sync(_upgrade)
                except OperationalError as error:
                    # Another hub is migrating this file or its journal mode; SQLite does not wait for that.
                    if "database is locked" not in str(error):
                        raise
                    await asyncio.sleep(LOCKED_PAUSE)
                else:
                    return
