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
_FEW: Final = REQUESTS // 2
"""Number of requests that may begin before the end of a turn is noted: a quiet loop has a turn for each of them."""


class Turns:
    """Counts the requests that have begun in the present turn of the event loop.

    The first `_FEW` may be of earlier turns, so that a turn begins no more than `REQUESTS` and no less than the rest. A
    connection has one request that waits here at most, so that the number of connections bounds them.
    """

    def __init__(self) -> None:
        self._left = REQUESTS
        self._waiting: deque[Callable[[], None]] = deque()
        self._noted = False
        """Whether the end of this turn is going to be noted."""

    @property
    def room(self) -> bool:
        """Whether a request may begin now."""
        return self._left > 0

    def take(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Returns whether a request may begin now; then it counts as begun."""
        if not self._left:
            return False
        self._left -= 1
        if self._left <= REQUESTS - _FEW:
            self._note_end(loop)
        return True

    def wait(self, begin: Callable[[], None]) -> None:
        """Begins a request that found no room in this turn, when its turn comes."""
        self._waiting.append(begin)

    def _note_end(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._noted:
            self._noted = True
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._noted = False
        begun = min(len(self._waiting), REQUESTS)
        self._left = REQUESTS - begun
        if begun:
            self._note_end(loop)
        for _ in range(begun):
            self._waiting.popleft()()
