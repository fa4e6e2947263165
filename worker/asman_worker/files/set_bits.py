"""Takes from files that jobs left what would give rights to a user of this machine: set-id bits and devices.

The data folder keeps other users out; this is for the day on which it does not, such as a moved or copied folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import Final

from .tree import walking

log = logging.getLogger("asman.worker.set_bits")

_SET_ID: Final = stat.S_ISUID | stat.S_ISGID


def strip_set_bits(folder: Path) -> int:
    """Removes the set-id bits of all files in a folder, and the devices in it; blocks.

    A job may change the folder meanwhile: no link is followed, and only regular files are changed.

    Returns:
        The number of files that were changed or removed.
    """
    changed = 0
    with walking(folder) as entries:
        for entry in entries:
            mode = entry.stat.st_mode
            if stat.S_ISREG(mode) and mode & _SET_ID:
                changed += _strip(entry.at, entry.name)
            elif stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
                with contextlib.suppress(OSError):
                    os.unlink(entry.name, dir_fd=entry.at)
                    changed += 1
    if changed:
        log.info("took set-id bits or devices from %d files below %s", changed, folder)
    return changed


def _strip(at: int, name: str) -> bool:
    """Removes the set-id bits of a regular file; False if it has been swapped for something else."""
    with contextlib.suppress(OSError):
        # Opened as a path alone, a device that was swapped in would not be touched.
        file = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        try:
            mode = os.fstat(file).st_mode
            if stat.S_ISREG(mode):
                Path(f"/proc/self/fd/{file}").chmod(stat.S_IMODE(mode) & ~_SET_ID)
                return True
        finally:
            os.close(file)
    return False
