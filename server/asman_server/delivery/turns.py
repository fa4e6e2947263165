"""Shares the turns of the event loop between plain requests and websockets.

A turn in which hundreds of requests begin holds up every frame that arrives meanwhile. So a turn begins `REQUESTS` of
them at most. The others begin in the next turns, in the order in which they came, after the frames and timers of each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

REQUESTS: Final = 16
"""Largest number of requests that begin in one turn."""


class Turns:
    """Counts the requests that have begun in the present turn of the event loop.

    A connection has one request that waits here at most, so that the number of connections bounds them.
    """

    def __init__(self) -> None:
        self._left = REQUESTS
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Returns whether a request may begin now; then it counts as begun."""
        if not self._left:
            return False
        if self._left == REQUESTS:
            loop.call_soon(self._next, loop)
        self._left -= 1
        return True

    def wait(self, begin: Callable[[], None]) -> None:
        """Begins a request that found no room in this turn, when its turn comes."""
        self._waiting.append(begin)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        begun = min(len(self._waiting), REQUESTS)
        self._left = REQUESTS - begun
        if begun:
            loop.call_soon(self._next, loop)
        for _ in range(begun):
            self._waiting.popleft()()
