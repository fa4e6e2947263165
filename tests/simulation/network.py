"""Connections that behave like bad ones: slow, stalled, half-open, cut in the middle.

Data on one connection arrives in order or not at all, as on TCP. The hub's end looks like the websocket and
frame writer that the hub's own sessions use, so their code, the codec and the send buffers run unchanged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import log
from random import Random
from typing import Any

from starlette.websockets import WebSocketDisconnect

from asman_server.delivery.transport import EXTENSION


class Pipe:
    """One direction of a connection: data comes out later, in the order it went in, unless the connection is cut.

    Args:
        random: Draws the delays.
        delay: The mean delay, in seconds.
    """

    __slots__ = (
        "_delay",
        "_draw",
        "_held",
        "_last",
        "_loop",
        "_queue",
        "_waiter",
        "abandoned",
        "cut",
        "listener",
        "stalled",
    )

    def __init__(self, random: Random, delay: float) -> None:
        self._draw = random.random
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._queue: deque[bytes | None] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._last = 0.0
        self._held: list[bytes | None] = []
        self.listener: Callable[[bytes | None], None] = self._enqueue
        """The receiver of arriving data; at first the data is kept for `get`."""
        self.stalled = False
        self.abandoned = False
        self.cut = False

    def put(self, data: bytes | None) -> None:
        """Sends data; None is the orderly end."""
        if self.cut:
            return
        loop = self._loop
        at = max(self._last + 1e-6, loop.time() - log(1.0 - self._draw()) * self._delay)
        self._last = at
        loop.call_at(at, self._arrive, data)

    def _arrive(self, data: bytes | None) -> None:
        if self.cut:
            return
        if self.stalled:
            self._held.append(data)
        else:
            self.listener(data)

    def _enqueue(self, data: bytes | None) -> None:
        self._queue.append(data)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def stall(self, stalled: bool) -> None:
        """Holds everything back, or releases it."""
        if self.abandoned:
            return
        self.stalled = stalled
        if not stalled:
            held, self._held = self._held, []
            for data in held:
                self.listener(data)

    def drop(self) -> None:
        """Loses all data in transit; the reader sees the end."""
        if not self.cut:
            self.cut = True
            while self._queue and self._draw() < 0.5:
                self._queue.popleft()
            self.listener(None)

    async def get(self) -> bytes | None:
        """Receives data; returns None when the connection has ended."""
        queue = self._queue
        while not queue:
            self._waiter = self._loop.create_future()
            await self._waiter
        data = queue[0]
        if data is not None:
            queue.popleft()
        return data


class Connection:
    """A websocket between an actor and a hub.

    Args:
        name: Unique in the run, and the same when the run is replayed.
        random: Draws its delays.
        delay: The mean delay, in seconds.
    """

    def __init__(self, name: str, random: Random, delay: float) -> None:
        self.name = name
        self.to_hub = Pipe(random, delay)
        self.to_actor = Pipe(random, delay)

    @property
    def alive(self) -> bool:
        return not self.to_hub.cut

    def sever(self) -> None:
        """Cuts both ways at once; data in transit is lost."""
        self.to_hub.drop()
        self.to_actor.drop()

    def abandon(self) -> None:
        """Leaves the connection half-open: the hub has to notice the silence of this side."""
        self.to_hub.stalled = self.to_hub.abandoned = True
        self.to_actor.drop()

    def leave(self) -> None:
        """Leaves the connection half-open; what is in transit to the hub still arrives."""
        self.to_actor.drop()

    def stall(self, stalled: bool) -> None:
        self.to_hub.stall(stalled)
        self.to_actor.stall(stalled)


class HubWriter:
    """Stands in for the hub's `FrameWriter`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.closed = False
        self.on_drain: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None

    @property
    def open(self) -> bool:
        return not self.closed and self._connection.alive

    @property
    def room(self) -> bool:
        return True

    @property
    def direct(self) -> Callable[[bytes], object]:
        return self.write

    def write(self, frame: bytes) -> bool:
        if not self.open:
            return False
        self._connection.to_actor.put(_payload(frame))
        return True


def _payload(frame: bytes) -> bytes:
    """Returns the payload of an unmasked frame."""
    length = frame[1]
    if length == 126:
        return frame[4:]
    return frame[10:] if length == 127 else frame[2:]


class HubEnd:
    """Stands in for the starlette websocket of one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._writer = HubWriter(connection)
        self.scope: dict[str, Any] = {"extensions": {EXTENSION: self._writer}}

    async def accept(self, subprotocol: str | None = None) -> None:
        """Accepts the connection at once."""

    async def receive(self) -> dict[str, Any]:
        data = await self._connection.to_hub.get()
        if data is None:
            raise WebSocketDisconnect(1006)
        return {"type": "websocket.receive", "bytes": data}

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._writer.closed = True
        self._connection.to_actor.put(None)
        await asyncio.sleep(0)
        self._connection.sever()
