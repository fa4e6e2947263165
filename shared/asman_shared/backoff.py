"""Delays between tries: they grow and are random, so that a fleet does not come back in one instant."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits that double up to a bound, each drawn from the upper half of its own.

    Args:
        first: The bound of the first wait, in seconds.
        most: The bound that the waits grow to, in seconds.
        chance: A number from 0 to 1, asked once per wait.
    """

    def __init__(self, first: float = 0.1, most: float = 5.0, *, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._most = most
        self._chance = chance
        self._tries = 0

    def reset(self) -> None:
        """It worked: begin again with short waits."""
        self._tries = 0

    def next(self) -> float:
        """The next wait in seconds, between half of a bound and the bound, which doubles each time."""
        bound = min(self._most, self._first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return bound * (1 + self._chance()) / 2
