"""Delays between tries: they grow and are random, so that a fleet does not reconnect at one moment."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits with a bound that doubles up to a maximum; each wait is drawn from the upper half of its bound.

    Args:
        first: The bound of the first wait, in seconds.
        most: The bound that the waits grow to, in seconds.
        chance: Returns a number from 0 to 1; called once per wait.
    """

    def __init__(self, first: float = 0.1, most: float = 5.0, *, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._most = most
        self._chance = chance
        self._tries = 0

    def reset(self) -> None:
        """Notes a success: the next waits are short again."""
        self._tries = 0

    def next(self) -> float:
        """Returns the next wait, in seconds: between half of the bound and the bound, which doubles each time."""
        bound = min(self._most, self._first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return bound * (1 + self._chance()) / 2
