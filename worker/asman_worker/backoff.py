"""How long to wait before trying again: exponential, with full jitter, so that a fleet does not come back at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Growing random waits.

    Args:
        first: The bound of the first wait, in seconds.
        most: The bound that the waits grow to, in seconds.
        chance: A number from 0 to 1, asked once per wait.
    """

    def __init__(self, first: float = 0.2, most: float = 15.0, *, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._most = most
        self._chance = chance
        self._tries = 0

    def reset(self) -> None:
        """It worked: begin again with short waits."""
        self._tries = 0

    def next(self) -> float:
        """The next wait in seconds, between 0 and a bound that doubles each time."""
        bound = min(self._most, self._first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return bound * self._chance()
