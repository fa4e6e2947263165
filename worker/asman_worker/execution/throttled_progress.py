"""Reports the progress of an attempt's transfers at a limited rate."""

from __future__ import annotations

import time
from typing import Final, Protocol

from asman_shared.states import Phase

EACH_SECONDS: Final = 0.5
"""Shortest time between two reports, in seconds."""


class PhaseListener(Protocol):
    """Receives the progress of an attempt."""

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Reports that a phase began or advanced."""
        ...


class ThrottledProgress:
    """Counts bytes, and reports at most twice a second.

    Args:
        report: Receives the progress.
        phase: The phase of the transfer.
        total: Number of bytes to move, as far as it is known.
    """

    def __init__(self, report: PhaseListener, phase: Phase, total: int) -> None:
        self._report = report
        self._phase = phase
        self._total = total
        self._done = 0
        self._reported = time.monotonic()

    def moved(self, size: int) -> None:
        """Adds ``size`` moved bytes; a negative number takes back bytes that must be moved again."""
        self._done += size
        now = time.monotonic()
        if now - self._reported > EACH_SECONDS:
            self._reported = now
            self._report.phase(self._phase, self._done, max(self._total, self._done), "bytes")
