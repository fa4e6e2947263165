"""The form in which logs and metrics show a queue's name, which is a secret."""

from __future__ import annotations

import hashlib


def short_name(queue: str) -> str:
    """Returns a short hash of a queue's name: enough to tell two queues apart, too little to use one."""
    return "q-" + hashlib.sha256(queue.encode()).hexdigest()[:8]
