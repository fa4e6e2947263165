"""Bounds the bytes of log lines that wait for the database.

Followers get lines before they are stored, so a slow or absent database must slow the workers down and not fill the
hub's memory. Each queue has a bound, so that a flood in one leaves room for the others, and the hub has one for all.
A producer adds its lines and then waits for room. So the bound is exceeded at most by the lines already on their way,
one frame for each worker's connection.
"""

from __future__ import annotations

import asyncio
from typing import Final

from asman_shared.units import MIB

QUEUE_BYTES: Final = 8 * MIB
"""Log bytes of one queue that may wait for the database; beyond them, the hub stops reading from its workers."""
HUB_BYTES: Final = 64 * MIB
"""The same for all queues of a hub together."""


class LogBacklog:
    """A count of waiting log bytes, with a bound; may be part of a larger one.

    Args:
        bound: Number of bytes that may wait.
        whole: The backlog that this one is part of.

    Attributes:
        bytes: Number of bytes that wait.
    """

    def __init__(self, bound: int, whole: LogBacklog | None = None) -> None:
        self.bytes = 0
        self._bound = bound
        self._whole = whole
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def full(self) -> bool:
        """Whether producers should wait: this bound or that of the whole is exceeded."""
        return self.bytes > self._bound or (self._whole is not None and self._whole.full)

    def add(self, size: int) -> None:
        """Counts ``size`` more waiting bytes."""
        self.bytes += size
        if self._whole is not None:
            self._whole.add(size)

    def free(self, size: int) -> None:
        """Discounts ``size`` bytes that are stored or not wanted any more."""
        self.bytes -= size
        if self._whole is not None:
            self._whole.free(size)
        if self._waiters and self.bytes <= self._bound:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def room(self) -> None:
        """Waits until there is room here and in the whole."""
        while self.full:
            if self.bytes <= self._bound and self._whole is not None:
                await self._whole.room()
                continue
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
