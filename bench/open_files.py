"""The limit of open files of a process that opens thousands of connections."""

from __future__ import annotations

import resource
from contextlib import suppress


def raise_open_files() -> None:
    """Raises the soft limit of open files of this process to its hard limit.

    The hub has such a function, too. The bench has its own because what measures must run beside any commit's hub,
    whatever the modules of that hub are called.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # such as macOS, which has a limit besides the one that it tells
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
