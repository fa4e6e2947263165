"""Keeps the data folder of a hub or worker from the other users of its machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from asman_shared.errors import Unavailable

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""The permissions of everybody but the owner."""


IGNORED = frozenset(["lost+found"])
"""Names in an empty folder that a file system makes by itself."""


def private(path: Path, *, marks: tuple[str, ...]) -> str:
    """Makes a folder that only its owner may enter, or takes one that exists, whose permissions are tightened.

    The permissions of a folder that holds something are tightened only if one of ``marks`` shows that it is a data
    folder already: nobody's home or ``/tmp`` is closed by mistake.

    Args:
        path: The folder; missing parents are made.
        marks: Names of files or folders that every used data folder of this kind holds.

    Returns:
        The reason why others may enter the folder all the same; empty if they may not.

    Raises:
        Unavailable: The folder can't be made or read.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = path.stat()
        if found.st_uid != os.geteuid():
            return f"the data folder {path} belongs to another user: choose another with --data-dir"
        if not found.st_mode & OTHERS:
            return ""
        held = {each.name for each in path.iterdir()} - IGNORED
        if (held and held.isdisjoint(marks)) or found.st_mode & stat.S_ISVTX:
            return f"other users may enter the data folder {path}: choose another with --data-dir, or 'chmod 700' it"
        path.chmod(0o700)
    except OSError as error:
        raise Unavailable(
            f"the data folder {path} can't be used: {error.strerror}; choose another with --data-dir"
        ) from error
    return ""
