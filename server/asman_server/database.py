"""Opening the database: SQLite in a file by default, Postgres by URL, brought to the newest schema at start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from asman_shared.errors import Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
OPEN_TIMEOUT = 30.0
"""Seconds that opening and migrating a database may take."""


def _durable_sqlite(connection: Any, _record: Any) -> None:
    """Write-ahead log, every commit synced to disk, and patience with a locked file."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "temp_store=MEMORY"):
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
    engine = create_async_engine(parsed, pool_size=pool, max_overflow=2, pool_pre_ping=not _is_sqlite(parsed))
    if _is_sqlite(parsed):
        event.listen(engine.sync_engine, "connect", _durable_sqlite)
    return engine


def _is_sqlite(url: Any) -> bool:
    return str(url.drivername).startswith("sqlite")


def _upgrade(connection: Connection) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


async def migrate(engine: AsyncEngine) -> None:
    """Brings the database to the newest schema.

    Raises:
        Unavailable: It can't be reached or changed.
    """
    try:
        async with asyncio.timeout(OPEN_TIMEOUT), engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise Unavailable(f"the database {engine.url!r} can't be opened: {error}") from error
