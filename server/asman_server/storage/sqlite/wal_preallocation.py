"""Preallocation of SQLite's write-ahead log.

Syncing a file that grows also writes its new length, so commits are slower while the log grows; docs/performance.md has
the measurements. SQLite starts a log over in the existing file and never truncates it. It ignores everything behind the
last frame, so zeros may stand there. They are written inside a transaction that excludes other writers, because nothing
else may grow the file meanwhile.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from typing import Any, Final

from asman_shared.units import KIB, MIB

from ..database import SQLITE_CHECKPOINT_PAGES

log = logging.getLogger("asman.hub.ledger")

ROOM: Final = SQLITE_CHECKPOINT_PAGES * 4 * KIB + 2 * MIB
"""Size of the log at a checkpoint, with some space for pages that are written meanwhile, in bytes."""
_ZEROS: Final = bytes(MIB)


def preallocate(driver: Any) -> None:
    """Extends the log file to its usual size. If that fails, the log grows as it is written.

    Args:
        driver: A connection to SQLite outside any transaction.
    """
    path = driver.execute("PRAGMA database_list").fetchone()[2]
    if not path:
        return
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        log.info("the write-ahead log could not be preallocated", extra={"error": str(error)})
        return
    try:
        handle = os.open(f"{path}-wal", os.O_WRONLY)
        try:
            _fill(handle)
        finally:
            os.close(handle)
    except OSError as error:
        log.info("the write-ahead log could not be preallocated", extra={"error": str(error)})
    finally:
        driver.execute("ROLLBACK")


def _fill(handle: int) -> None:
    size = os.fstat(handle).st_size
    at = size
    try:
        while at < ROOM:
            at += os.pwrite(handle, _ZEROS[: ROOM - at], at)
        os.fsync(handle)
    except OSError:
        # On a nearly full disk the file gets its old size back.
        os.ftruncate(handle, size)
        raise
