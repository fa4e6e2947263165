"""How far moving an attempt's bytes has come, told now and then."""

from __future__ import annotations

import time
from typing import Final, Protocol

from asman_shared.states import Phase

EACH_SECONDS: Final = 0.5


class PhaseListener(Protocol):
    """Hears how far an attempt is."""

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        """A phase has begun, or got on."""
        ...


class ThrottledProgress:
    """Counts bytes, and reports at most twice a second.

    Args:
        report: Is told.
        phase: The phase that they move in.
        total: How many there are, as far as is known.
    """

    def __init__(self, report: PhaseListener, phase: Phase, total: int) -> None:
        self._report = report
        self._phase = phase
        self._total = total
        self._done = 0
        self._said = time.monotonic()

    def moved(self, size: int) -> None:
        """So many more bytes are done with; fewer than none when some have to be moved again."""
        self._done += size
        now = time.monotonic()
        if now - self._said > EACH_SECONDS:
            self._said = now
            self._report.phase(self._phase, self._done, max(self._total, self._done), "bytes")
