"""Connections that behave like bad ones: slow, stalled, half-open, cut in the middle.

What is sent on one connection arrives in order or not at all, as on TCP. The hub's end looks like the websocket and
frame writer that the hub's own sessions use, so their code, the codec and the outboxes run as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from starlette.websockets import WebSocketDisconnect

from asman_server.delivery.transport import EXTENSION


class Cut(ConnectionError):
    """The connection is gone."""


class Pipe:
    """One direction of a connection: what goes in comes out later, in order, unless the connection is cut."""

    def __init__(self, random: Random, delay: float) -> None:
        self._random = random
        self._delay = delay
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._last = 0.0
        self.stalled = False
        self.abandoned = False
        self.cut = False
        self._held: list[bytes | None] = []

    def put(self, data: bytes | None) -> None:
        """Sends; None is the orderly end."""
        if self.cut:
            return
        loop = asyncio.get_running_loop()
        at = max(self._last + 1e-6, loop.time() + self._random.expovariate(1 / self._delay))
        self._last = at
        loop.call_at(at, self._arrive, data)

    def _arrive(self, data: bytes | None) -> None:
        if self.cut:
            return
        if self.stalled:
            self._held.append(data)
        else:
            self._queue.put_nowait(data)

    def stall(self, stalled: bool) -> None:
        """Holds everything back, or lets it go."""
        if self.abandoned:
            return
        self.stalled = stalled
        if not stalled:
            held, self._held = self._held, []
            for data in held:
                self._queue.put_nowait(data)

    def drop(self) -> None:
        """Loses everything on the way; the reader hears the end."""
        if not self.cut:
            self.cut = True
            while not self._queue.empty() and self._random.random() < 0.5:
                self._queue.get_nowait()
            self._queue.put_nowait(None)

    async def get(self) -> bytes:
        """Receives.

        Raises:
            Cut: The connection has ended.
        """
        data = await self._queue.get()
        if data is None:
            self._queue.put_nowait(None)
            raise Cut
        return data


class Connection:
    """A websocket between an actor and a hub."""

    def __init__(self, random: Random, delay: float) -> None:
        self.to_hub = Pipe(random, delay)
        self.to_actor = Pipe(random, delay)

    @property
    def alive(self) -> bool:
        return not self.to_hub.cut

    def sever(self) -> None:
        """Cuts both ways at once; what was on the way is lost."""
        self.to_hub.drop()
        self.to_actor.drop()

    def abandon(self) -> None:
        """This side has gone and the hub's has not heard of it: half-open, until somebody notices the silence."""
        self.to_hub.stalled = self.to_hub.abandoned = True
        self.to_actor.drop()

    def stall(self, stalled: bool) -> None:
        self.to_hub.stall(stalled)
        self.to_actor.stall(stalled)


class HubWriter:
    """The hub's `FrameWriter`."""

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
    """The payload of an unmasked frame."""
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
        """Accepts, at once."""

    async def receive(self) -> dict[str, Any]:
        try:
            data = await self._connection.to_hub.get()
        except Cut:
            raise WebSocketDisconnect(1006) from None
        return {"type": "websocket.receive", "bytes": data}

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._writer.closed = True
        self._connection.to_actor.put(None)
        await asyncio.sleep(0)
        self._connection.sever()
