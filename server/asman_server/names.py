"""Queue names: what they may be, and how they are shown where they must stay secret."""

from __future__ import annotations

import hashlib
import re

from asman_shared.errors import CLOSE_REASONS, BadRequest, CloseCode

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_queue_name(name: str) -> str:
    """The name, if it is one.

    Raises:
        BadRequest: It has other characters, or is too long.
    """
    if _QUEUE.fullmatch(name) is None:
        raise BadRequest(CLOSE_REASONS[CloseCode.BAD_QUEUE], field="queue")
    return name


def short_name(queue: str) -> str:
    """What logs and metrics show of a queue: enough to tell two apart, too little to use one."""
    return "q-" + hashlib.sha256(queue.encode()).hexdigest()[:8]
