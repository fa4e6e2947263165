"""The free disk of this machine: a worker that has too little of it takes no new jobs until there is more."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from asman_shared.units import format_size

_LOOK_SECONDS: Final = 5.0
#: How much more than the reserve has to be free again, so that a worker does not go to and fro.
_AMPLY: Final = 1.25


class DiskReserve:
    """The disk that a folder is on.

    Args:
        folder: Where jobs have their files.
        reserve: Bytes that stay free: with less, nothing new is begun. 0 for none.
    """

    def __init__(self, folder: Path, reserve: int) -> None:
        self._folder = folder
        self._reserve = reserve
        self._short = False

    @property
    def free(self) -> int:
        """Bytes that jobs may still write before the reserve begins."""
        return max(0, self._left() - self._reserve)

    def short(self) -> str:
        """Why nothing new may be begun; empty when it may."""
        left = self._left()
        self._short = left < self._reserve * (_AMPLY if self._short else 1)
        return f"{format_size(left)} of disk are free, too few to begin a job" if self._short else ""

    async def enough(self) -> None:
        """Waits until something new may be begun."""
        while True:
            if not self.short():
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _left(self) -> int:
        return shutil.disk_usage(self._folder).free
