"""The form in which logs and metrics show a queue's name, which is a secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

ShortNames = Callable[[str], str]
"""Returns the short name of a queue: enough to tell two queues apart, too little to use one."""


def short_names(secret: bytes) -> ShortNames:
    """Returns the short names of one hub. Without its secret nobody can check a guess of a queue's name by them."""

    def short_name(queue: str) -> str:
        return "q-" + hmac.new(secret, b"asman short name v1\n" + queue.encode(), hashlib.sha256).hexdigest()[:8]

    return short_name


UNKEYED: Final = short_names(b"")
"""Short names for tests and simulations, which have no secret."""
