"""Waits for the limits of a hub: requests that are too many for now are made again when the hub takes them."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ..errors import AsmanError
from ..messages import RateLimit
from ..units import format_duration

log = logging.getLogger("asman.pacing")

TELL_SECONDS: Final = 10.0
"""Shortest time between two sentences about waiting, in seconds."""
LEAST_SECONDS: Final = 0.001
"""Shortest time between two requests after a refusal, in seconds."""


def waiting(error: AsmanError, seconds: float) -> str:
    """Returns the sentence about a limit and the time that is waited for it, in seconds."""
    return f"{error.message.partition('; try again')[0]}; waiting {format_duration(seconds * 1000)}"


class Pacer:
    """Gives requests of one kind turns, once the hub has refused one because it was too much for now.

    Without a refusal, every request has its turn at once.

    Args:
        patience: Longest time without any request that the hub takes, in seconds; None for no limit.
    """

    def __init__(self, patience: float | None) -> None:
        self._patience = patience
        self._next = 0.0
        self._interval = 0.0
        self._since: float | None = None
        self._told = -TELL_SECONDS

    async def turn(self) -> None:
        """Returns when the next request may be made."""
        now = asyncio.get_running_loop().time()
        if self._next <= now:
            return
        mine = self._next
        self._next += self._interval
        await asyncio.sleep(mine - now)

    def taken(self) -> None:
        """Notes that the hub has taken a request."""
        self._since = None

    def refused(self, error: AsmanError, rates: list[RateLimit]) -> None:
        """Notes a refusal; the request is made again in its next turn.

        Args:
            error: The refusal, with the time after which to try again.
            rates: The limits on such requests.

        Raises:
            AsmanError: The refusal itself, when the hub has taken nothing for too long.
        """
        now = asyncio.get_running_loop().time()
        self._since = self._since or now
        if self._patience is not None and now - self._since > self._patience:
            raise error
        after = error.retry_after or 0.0
        if self._patience is not None:  # or it would wait days for what it is going to give up in minutes
            after = min(after, max(0.0, self._since + self._patience - now) + LEAST_SECONDS)
        slowest = min((limit.rate for limit in rates if limit.rate), default=0.0)
        self._interval = max(LEAST_SECONDS, 1 / slowest if slowest else after)
        self._next = max(self._next, now + after)
        if now - self._told >= TELL_SECONDS:
            self._told = now
            log.warning("%s", waiting(error, self._next - now))
