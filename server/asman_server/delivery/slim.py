"""Small replacements for the queue and event that uvicorn keeps per connection, which cost much memory in an idle one.

An `asyncio.Queue` has three deques and an `asyncio.Event` one, and an empty deque takes 760 bytes. A connection has one
reader and, between two messages, nothing to read. So these classes have a deque only while it has an element.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any


class SlimQueue:
    """First-in, first-out queue for one reader, with the part of `asyncio.Queue` that uvicorn uses."""

    __slots__ = ("_come", "_reader")

    def __init__(self) -> None:
        self._come: deque[Any] | None = None
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether the queue is empty."""
        return self._come is None

    def put_nowait(self, event: Any) -> None:
        """Adds an item; there is no bound, because the writer stops reading from the socket."""
        if self._come is None:
            self._come = deque()
        self._come.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        """Takes the oldest item, and waits for one if necessary.

        Raises:
            RuntimeError: Another reader is waiting already.
        """
        if self._reader is not None:
            raise RuntimeError("a connection has one reader")
        while self._come is None:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        event = self._come.popleft()
        if not self._come:
            self._come = None
        return event


class SlimEvent:
    """Event with the part of `asyncio.Event` that uvicorn uses; it starts open."""

    __slots__ = ("_open", "_waiting")

    def __init__(self) -> None:
        self._open = True
        self._waiting: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        """Whether the event is open."""
        return self._open

    def clear(self) -> None:
        """Closes the event."""
        self._open = False

    def set(self) -> None:
        """Opens the event and wakes all waiters."""
        self._open = True
        waiting, self._waiting = self._waiting, None
        for waiter in waiting or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Waits until the event is open."""
        if self._open:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(waiter)
        await waiter
