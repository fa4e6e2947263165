"""Retries: their number, and the point at which an operation is given up."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from asman_shared.backoff import Backoff
from asman_shared.errors import AsmanError, Forbidden

log = logging.getLogger("asman.transfer")


class Stale(Forbidden):
    """An address is not good any more; a fresh one may be."""

    retry = True


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The bounds of one transfer.

    Attributes:
        tries: Failures in a row, with not a byte moved between them, after which it is given up; None to go on for as
            long as the caller waits.
        stale: The same for addresses that are refused although they are fresh.
        stall: Seconds that a connection may bring nothing.
        total: Seconds that all of it may take; None for as long as it takes.
        pending: Seconds that a store may look at what has come, before anything else happens.
        most: Seconds between two tries at most.
    """

    tries: int | None = 8
    stale: int = 3
    stall: float = 60.0
    total: float | None = None
    pending: float = 3600.0
    most: float = 5.0


class Retries:
    """Counts the failures of one transfer, and waits after each.

    Args:
        retry_policy: Its bounds.
    """

    def __init__(self, retry_policy: RetryPolicy) -> None:
        self._retry_policy = retry_policy
        self._backoff = Backoff(0.1, retry_policy.most)
        self._failures = 0
        self._stale = 0

    def moved(self) -> None:
        """Bytes have moved: failures from before do not count any more."""
        self._failures = self._stale = 0
        self._backoff.reset()

    async def failed(self, error: AsmanError) -> None:
        """Waits before the next try.

        Raises:
            AsmanError: The error itself, when trying again can't help or has not helped often enough.
        """
        if not error.retry:
            raise error
        if isinstance(error, Stale):
            self._stale += 1
            if self._stale >= self._retry_policy.stale:
                raise Forbidden(error.message)
        else:
            self._failures += 1
            if self._retry_policy.tries is not None and self._failures >= self._retry_policy.tries:
                raise error
        log.info("%s; trying again", error.message)
        await asyncio.sleep(self._backoff.next())
