"""Raises the limit of open files, and so of connections, to the maximum that the system allows.

A shell commonly starts with 1,024 open files, which a thousand dashboards use up.
"""

from __future__ import annotations

import logging
import resource

log = logging.getLogger("asman.hub")


def raise_open_files() -> int:
    """Raises this process's soft limit of open files to its hard one; returns how many it may have open now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # on macOS, for example, which has another limit besides the reported one
        log.warning("the limit of open files can't be raised", extra={"limit": soft, "error": str(error)})
        return soft
    return hard
