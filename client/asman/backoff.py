"""How long to wait before dialling again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

FIRST_SECONDS: Final = 0.1
LAST_SECONDS: Final = 5.0


def delays(first: float = FIRST_SECONDS, last: float = LAST_SECONDS) -> Iterator[float]:
    """Seconds to wait before each attempt: doubling up to a bound, each drawn at random from its upper half.

    The jitter keeps a thousand clients of a restarted hub from coming back in the same instant.
    """
    bound = first
    while True:
        yield random.uniform(bound / 2, bound)  # noqa: S311 - spreads load, guards nothing
        bound = min(bound * 2, last)
