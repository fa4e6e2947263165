"""Stops what passes a proxy in the middle, so that something can be done to it there."""

from __future__ import annotations

import asyncio

from devtools.patience import PATIENCE


class Gate:
    """Lets so many bytes pass in one direction, and holds up what comes then until it is opened.

    Until `shut` it only counts. Give it to a proxy as its pace.

    Attributes:
        up: Bytes that passed towards the hub.
        down: Bytes that passed from the hub.
    """

    def __init__(self) -> None:
        self.up = 0
        self.down = 0
        self._least: dict[bool, int] = {}
        self._reached = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    async def __call__(self, towards_hub: bool, size: int) -> None:
        """Counts bytes, and waits while the gate is shut for them."""
        if towards_hub:
            self.up += size
        else:
            self.down += size
        passed = self.up if towards_hub else self.down
        if not self._open.is_set() and passed >= self._least.get(towards_hub, passed + 1):
            self._reached.set()
            await self._open.wait()

    def shut(self, *, towards_hub: bool, after: int) -> None:
        """Holds up what follows the next ``after`` bytes in one direction."""
        self._least = {towards_hub: (self.up if towards_hub else self.down) + after}
        self._reached.clear()
        self._open.clear()

    async def reached(self) -> None:
        """Returns once something is held up."""
        async with asyncio.timeout(PATIENCE):
            await self._reached.wait()

    def open(self) -> None:
        """Lets everything pass."""
        self._open.set()
