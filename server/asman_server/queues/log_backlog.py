"""How many bytes of log lines wait for the database, and the bound on them.

Lines are told to followers before they are stored, so a database that is slow or away must slow the workers down and
not fill the hub. There is a bound for each queue, so that a flood in one leaves room for the others, and one for the
hub. Whoever brings lines adds them and then waits for room: the bound is exceeded by what was already on its way, at
most one frame for each worker's connection.
"""

from __future__ import annotations

import asyncio
from typing import Final

from asman_shared.units import MIB

QUEUE_BYTES: Final = 8 * MIB
"""Log bytes of one queue that may wait for the database before its workers are not read from any more."""
HUB_BYTES: Final = 64 * MIB
"""The same for all queues of a hub together."""


class LogBacklog:
    """One bound.

    Args:
        bound: Bytes that may wait.
        whole: The bound that this is part of.

    Attributes:
        bytes: How many wait.
    """

    def __init__(self, bound: int, whole: LogBacklog | None = None) -> None:
        self.bytes = 0
        self._bound = bound
        self._whole = whole
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def full(self) -> bool:
        """Whether no more should come for now."""
        return self.bytes > self._bound or (self._whole is not None and self._whole.full)

    def add(self, size: int) -> None:
        """So many bytes more wait."""
        self.bytes += size
        if self._whole is not None:
            self._whole.add(size)

    def free(self, size: int) -> None:
        """So many bytes are stored, or not wanted any more."""
        self.bytes -= size
        if self._whole is not None:
            self._whole.free(size)
        if self._waiters and self.bytes <= self._bound:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def room(self) -> None:
        """Returns when there is room here and in the whole."""
        while self.full:
            if self.bytes <= self._bound and self._whole is not None:
                await self._whole.room()
                continue
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
