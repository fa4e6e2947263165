"""The hub's only clock, so that a simulation can replace it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives the time in epoch milliseconds."""


def wall_clock() -> int:
    """Returns the current time, in epoch milliseconds."""
    return time.time_ns() // 1_000_000
