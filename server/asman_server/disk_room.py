"""The hub's disk reserve: below it the hub takes nothing new, so that what it has taken can still be finished."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from asman_shared.errors import QuotaExceeded
from asman_shared.units import MIB, format_size

log = logging.getLogger("asman.hub")

DISK_RESERVE: Final = 512 * MIB
"""Default of the space that stays free on the hub's disk, in bytes."""
LOOK_SECONDS: Final = 1.0
"""Time for which the free space that was found counts, in seconds."""


def need_room(folder: Path, size: int, reserve: int) -> None:
    """Checks that a disk has space for ``size`` more bytes and the reserve.

    Raises:
        QuotaExceeded: The disk has too little space.
    """
    free = shutil.disk_usage(folder).free
    if free - size < reserve:
        raise QuotaExceeded(
            f"the hub's disk is nearly full: it has {format_size(free)} left, of which {format_size(reserve)} stay "
            f"free, too little for {format_size(size)}; try later, or ask the hub's operator to make room"
        )


class DiskRoom:
    """Watches the free space of the disk under some folders.

    Args:
        folders: Existing folders, each with something of the hub's own.
        reserve: Space that stays free, in bytes; 0 for none.
    """

    def __init__(self, folders: Iterable[Path], reserve: int) -> None:
        self._folders = tuple(folders)
        self._reserve = reserve
        self._looked = float("-inf")
        self._full = ""

    def full(self) -> str:
        """Returns why nothing new may be written now; empty if it may. Cheap enough to ask for each submission."""
        now = time.monotonic()
        if self._reserve and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            full = next(filter(None, map(self._short, self._folders)), "")
            if full and not self._full:
                log.error("no new jobs, files and log lines are taken", extra={"reason": full})
            elif self._full and not full:
                log.warning("the hub's disk has room again")
            self._full = full
        return self._full

    def _short(self, folder: Path) -> str:
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            return f"the hub's folder {folder} can't be used: {error.strerror}"
        if free >= self._reserve:
            return ""
        return (
            f"the hub's disk is nearly full: it has {format_size(free)} left, and {format_size(self._reserve)} "
            "stay free for what runs"
        )
