"""What every peer's job does: nothing, and it gives when."""

from __future__ import annotations

import time


def began(payload: str) -> int:
    """The wall clock as the worker begins, in nanoseconds: all sides run on one machine, so on one clock."""
    return time.time_ns()
