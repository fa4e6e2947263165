"""Keeps a folder that jobs share within a size and an age."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

from .tree import Entry, walking


def trim_folder(folder: Path, most: int, age: float) -> int:
    """Removes files that are unused for long, and the least recently used ones over the limit; blocks.

    Links are removed as links and never followed. A folder that does not exist is empty.

    Returns:
        The number of bytes left.
    """
    found: list[tuple[float, int, int]] = []
    with walking(folder) as entries:
        for entry in entries:
            if not stat.S_ISDIR(entry.stat.st_mode):
                found.append((_used(entry), entry.stat.st_blocks * 512, entry.stat.st_ino))
    left = 0
    oldest = time.time() - age if age else 0.0
    gone: set[int] = set()
    for used, size, file in sorted(found, reverse=True):
        if used < oldest or (most and left + size > most):
            gone.add(file)
        else:
            left += size
    if gone:
        # A second walk, because the path of a file may be longer than a system call takes.
        with walking(folder) as entries:
            for entry in entries:
                if entry.stat.st_ino in gone and not stat.S_ISDIR(entry.stat.st_mode):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.name, dir_fd=entry.at)
    return left


def _used(entry: Entry) -> float:
    return max(entry.stat.st_mtime, entry.stat.st_atime)
