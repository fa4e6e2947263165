"""Tells what a failover to a standby may lose of what was acknowledged, as the database is set up now."""

from __future__ import annotations

import logging
from typing import Final

from ..database import DATABASE_ERRORS, reason_of
from ..primary import Primary

log = logging.getLogger("asman.hub.database")

_SETTINGS: Final = (
    "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit'),"
    " (SELECT count(*) FROM pg_stat_replication)"
)


async def tell_of_standbys(primary: Primary) -> None:
    """Logs what a failover may lose, for a database with standbys; a database that can't be asked is not waited for."""
    try:
        connection = await primary.connect()
        try:
            names, waits, standbys = await connection.fetchrow(_SETTINGS)
        finally:
            connection.terminate()
    except DATABASE_ERRORS as error:
        log.info("the standbys of the database can't be asked about", extra={"reason": reason_of(error)})
        return
    if fault := risk(names, waits, max(standbys, len(primary.hosts) - 1)):
        log.warning("a failover of the database may lose what was acknowledged last", extra={"reason": fault})
    elif standbys or names:
        log.info("commits wait for a standby of the database", extra={"standbys": names})


def risk(names: str, waits: str, standbys: int) -> str:
    """Returns why a failover may lose what was acknowledged; empty if it may not.

    Args:
        names: The setting ``synchronous_standby_names``.
        waits: The setting ``synchronous_commit``.
        standbys: Number of standbys that there are or that the URL names.
    """
    if not standbys and not names.strip():
        return ""
    if not names.strip():
        return "commits wait for no standby: set synchronous_standby_names on the primary"
    if waits in ("local", "off"):
        return f"synchronous_commit is '{waits}', so commits wait for no standby: set it to 'on'"
    if waits == "remote_write":
        return "synchronous_commit is 'remote_write': what a standby has not synced is lost if its machine fails, too"
    return ""
