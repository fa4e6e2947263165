"""Tells which version the schema of a database has, and refuses one that this hub does not know."""

from __future__ import annotations

from functools import cache

import alembic.config
import alembic.script
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Misconfigured
from asman_shared.version import __version__

from ..storage.database import MIGRATIONS, unavailable


@cache
def known() -> tuple[str, ...]:
    """Returns all versions of the schema that this hub knows, the newest first."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = alembic.script.ScriptDirectory.from_config(config)
    return tuple(script.revision for script in scripts.walk_revisions())


def newest() -> str:
    """Returns the version that this hub brings a database to."""
    return known()[0]


def version_of(connection: Connection) -> str:
    """Returns the version of a database's schema; empty for a database without tables of a hub."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


def too_new(version: str, what: str) -> Misconfigured:
    """Returns the error about a schema that this hub does not know."""
    return Misconfigured(
        f"{what} was written by a newer Asman (its schema is {version[:20]}, and {__version__} knows {newest()}): use "
        "that version or a newer one, or restore a backup that was made before the upgrade"
    )


async def refuse_newer(engine: AsyncEngine) -> None:
    """Checks that this hub knows the schema of a database.

    Raises:
        Misconfigured: A newer hub has written it.
        Unavailable: The database can't be read.
    """
    with unavailable(f"the database {engine.url!r} can't be opened: {{}}"):
        async with engine.connect() as connection:
            version = await connection.run_sync(version_of)
    if version and version not in known():
        raise too_new(version, "the database")
