"""Reads files in folders that jobs have written to, without following their links."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def end_of(root: Path, name: str, most: int) -> tuple[bytes, int]:
    """Returns the end of a regular file, and the size of the whole file; blocks.

    Args:
        root: The folder in which it is; a job can't have put a link in its place.
        name: Its name in the folder: plain names joined by slashes.
        most: Most bytes to return.

    Raises:
        OSError: It is not there, is no regular file, or a link leads to it.
    """
    file = _open(root, name)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"'{name}' is no regular file")
        return os.pread(file, most, max(0, about.st_size - most)), about.st_size
    finally:
        os.close(file)


def _open(root: Path, name: str) -> int:
    """Opens a file, part of its name by part."""
    *parents, last = name.split("/")
    at = os.open(root, _FOLDER)
    try:
        for part in parents:
            inner = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(last, _FILE, dir_fd=at)
    finally:
        os.close(at)
