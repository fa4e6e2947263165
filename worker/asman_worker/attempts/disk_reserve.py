"""Watches what new jobs need of this machine: a worker with too little free disk, or another lack, takes none."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from asman_shared.units import format_size

_LOOK_SECONDS: Final = 5.0
"""Time between two checks while disk is short, in seconds."""
_AMPLY: Final = 1.25
"""Multiple of the reserve that must be free before new jobs begin again, so that the state does not flap."""


_FEW_FILES: Final = 50
"""A file system with less than one in this number of its files left counts as short."""


class DiskReserve:
    """The reserve on the disk that holds a folder.

    Args:
        folder: The folder of job files.
        reserve: Bytes that must be free before a job begins; 0 for no reserve.
        lack: Returns another reason why no new job may begin, or an empty string.
    """

    def __init__(self, folder: Path, reserve: int, lack: Callable[[], str] = str) -> None:
        self._folder = folder
        self._reserve = reserve
        self._lack = lack
        self._short = False

    @property
    def free(self) -> int:
        """Bytes that jobs may still write before the reserve begins."""
        return max(0, self._left() - self._reserve)

    def short(self) -> str:
        """Returns the reason why no new job may begin, or an empty string."""
        left = self._left()
        self._short = left < self._reserve * (_AMPLY if self._short else 1)
        if self._short:
            return f"{format_size(left)} of disk are free, too little to begin a job"
        if self._few_files():
            return "the disk has room for few further files, too few to begin a job"
        return self._lack()

    async def enough(self) -> None:
        """Waits until a new job may begin."""
        while True:
            if not self.short():
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _left(self) -> int:
        return shutil.disk_usage(self._folder).free

    def _few_files(self) -> bool:
        found = os.statvfs(self._folder)
        return self._reserve > 0 and found.f_files > 0 and found.f_favail * _FEW_FILES < found.f_files
