"""Retries: their number, and the point at which an operation is given up."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from asman_shared.errors import AsmanError, ConnectionFailed, Forbidden, NotFound
from asman_shared.running.backoff import Backoff

log = logging.getLogger("asman.transfer")


class Stale(Forbidden):
    """An address was refused; a fresh one may be accepted."""

    retry = True


class UnknownHost(ConnectionFailed):
    """There is no host with the name in an address, as far as the resolver knows."""


UNKNOWN_TRIES: Final = 3
"""Tries for an address of a stranger's choice whose host is unknown: a mistyped name stays unknown."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits of one transfer.

    Attributes:
        tries: Number of failures in a row, without any byte moved between them, after which the transfer fails; None to
            try for as long as the caller waits.
        stale: The same for fresh addresses that are refused.
        unknown: The same for a host that is unknown, however much patience there is; None for no such bound. A name
            that can't be looked up for now is another failure.
        stall: Longest time without any bytes on a connection, in seconds.
        total: Longest time of the whole transfer, in seconds; None for no limit.
        pending: Longest time that a store may take to verify an upload, in seconds.
        most: Longest pause between two tries, in seconds.
        patience: Time without any byte moved before the transfer may fail for its number of tries, in seconds. A
            storage that is started again refuses connections at once, so the tries alone would be over in moments.
    """

    tries: int | None = 8
    stale: int = 3
    unknown: int | None = None
    stall: float = 60.0
    total: float | None = None
    pending: float = 3600.0
    most: float = 5.0
    patience: float = 0.0


class Retries:
    """Counts the failures of one transfer, and waits after each.

    Args:
        retry_policy: The limits of the transfer.
    """

    def __init__(self, retry_policy: RetryPolicy) -> None:
        self._retry_policy = retry_policy
        self._backoff = Backoff(0.1, retry_policy.most)
        self._failures = 0
        self._stale = 0
        self._unknown = 0
        self._since = 0.0

    def moved(self) -> None:
        """Notes that bytes have moved: earlier failures do not count any more."""
        self._failures = self._stale = self._unknown = 0
        self._backoff.reset()

    async def failed(self, error: AsmanError) -> None:
        """Waits before the next try.

        Raises:
            AsmanError: The error itself, when trying again can't help or has not helped often enough.
        """
        if not error.retry:
            raise error
        if error.retry_after is not None:  # the hub is there, and says how long it takes
            log.warning("%s", error.message)
            await asyncio.sleep(error.retry_after)
            return
        if isinstance(error, Stale):
            self._stale += 1
            if self._stale >= self._retry_policy.stale:
                raise Forbidden(error.message)
        else:
            if isinstance(error, UnknownHost):
                self._unknown += 1
                if self._unknown == self._retry_policy.unknown:
                    raise NotFound(error.message)
            now = asyncio.get_running_loop().time()
            if not self._failures:
                self._since = now
            self._failures += 1
            tries = self._retry_policy.tries
            if tries is not None and self._failures >= tries and now - self._since >= self._retry_policy.patience:
                raise error
        log.info("%s; trying again", error.message)
        await asyncio.sleep(self._backoff.next())
