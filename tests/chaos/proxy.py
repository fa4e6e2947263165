"""A TCP proxy between one actor and the hub that can cut its connections: with a reset, or with silence."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.chaos.runs import clock

_CHUNK = 64 * 1024
_LINGER_ZERO = struct.pack("ii", 1, 0)

Pace = Callable[[bool, int], Awaitable[None]]


class _Link:
    """One connection: the actor's side, the hub's side and two tasks that carry bytes.

    Attributes:
        silent: Whether bytes and endings of both sides are dropped.
    """

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter, pace: Pace | None = None) -> None:
        self.near = near
        self.far = far
        self.silent = False
        self._pace = pace

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries bytes one way until that way ends."""
        try:
            while data := await reader.read(_CHUNK):
                if self._pace is not None:
                    await self._pace(writer is self.far, len(data))
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
            if not self.silent and writer.can_write_eof():
                writer.write_eof()
        except OSError:
            if not self.silent:
                self.reset()

    def reset(self) -> None:
        """Ends both sides with RST."""
        for writer in (self.near, self.far):
            if not writer.is_closing():
                with suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                writer.transport.abort()


class Proxy:
    """Passes the bytes of one actor's connections to the hub, and cuts them with a reset or with silence.

    Open inside ``async with``.

    Args:
        hub_port: The hub's port on loopback.
        pace: Awaited before bytes are passed on, with their direction (true towards the hub) and number.

    Attributes:
        port: The port that the actor dials.
        dialled: Time of the last request for a websocket (`clock`).
    """

    def __init__(self, hub_port: int, pace: Pace | None = None) -> None:
        self.port = 0
        self.dialled = 0.0
        self._hub_port = hub_port
        self._pace = pace
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.reset()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def reset(self) -> None:
        """Resets every open connection; a silent one stays silent."""
        for link in list(self._links):
            if not link.silent:
                link.reset()

    def silence(self) -> None:
        """Silences the open connections, which stay open but pass no data; new connections are not affected."""
        for link in self._links:
            link.silent = True

    async def _accepted(self, near_in: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(near_in, near)
        except asyncio.CancelledError:
            near.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _serve(self, near_in: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            far_in, far = await asyncio.open_connection("127.0.0.1", self._hub_port)
        except OSError:
            near.transport.abort()
            return
        link = _Link(near, far, self._pace)
        self._links.add(link)
        try:
            with suppress(OSError):
                asked = await near_in.read(_CHUNK)
                if b"upgrade: websocket" in asked.lower():
                    self.dialled = clock()
                if not link.silent:
                    far.write(asked)
            await asyncio.gather(link.carry(near_in, far), link.carry(far_in, near))
        finally:
            self._links.discard(link)
            near.close()
            far.close()
