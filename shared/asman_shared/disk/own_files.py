"""Keeps the files that a hub or worker makes to its own user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

OWNER_ONLY: Final = 0o077
"""The umask of hubs and workers: no file or folder that they make is for other users."""

_usual = -1


@contextmanager
def own_files() -> Iterator[None]:
    """Makes new files and folders of this process its owner's alone while the block runs.

    A folder that containers read is opened for them by its own mode.
    """
    global _usual
    before = os.umask(OWNER_ONLY)
    outer, _usual = _usual, before if _usual < 0 else _usual
    try:
        yield
    finally:
        _usual = outer
        os.umask(before)


def usual_umask() -> int:
    """Returns the umask that this process was started with, for a child of its own; -1 to inherit it."""
    return _usual
