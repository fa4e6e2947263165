"""Whoever writes to a socket without asking is stopped before anything else happens, however its connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from asman_server.delivery.transport import EXTENSION, HubWebSocketProtocol

HANDSHAKE = (
    b"GET /q/q/client HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Transport(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""


async def _accepts(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


class Scene:
    """One open connection, and when its writer was stopped."""

    def __init__(self) -> None:
        config = uvicorn.Config(_accepts, log_config=None, lifespan="off", ws_per_message_deflate=False)
        config.load()
        self.state = ServerState()
        self.transport = Transport()
        self.protocol = HubWebSocketProtocol(config, self.state, {}, asyncio.get_running_loop())
        self.stopped: list[int] = []

    async def open(self) -> None:
        """Shakes hands."""
        self.protocol.connection_made(self.transport)
        self.protocol.data_received(HANDSHAKE)
        while not self.protocol.handshake_complete:
            await asyncio.sleep(0)
        writer: Any = self.protocol.scope["extensions"][EXTENSION]
        assert (writer.open, writer.room) == (True, True)
        writer.on_stop = lambda: self.stopped.append(len(self.transport.written))

    async def end(self) -> None:
        """Lets nothing behind."""
        if not self.protocol.disconnected:
            self.protocol.connection_lost(None)
        await asyncio.gather(*self.state.tasks)


async def peer_closes(scene: Scene) -> None:
    scene.protocol.data_received(b"\x88\x82\0\0\0\0\x03\xe8")


async def peer_speaks_no_websocket(scene: Scene) -> None:
    scene.protocol.data_received(b"\xff" * 20)


async def peer_sends_text_that_is_none(scene: Scene) -> None:
    scene.protocol.data_received(b"\x81\x81\0\0\0\0\xff")


async def peer_does_not_answer_pings(scene: Scene) -> None:
    scene.protocol.keepalive_timeout()


async def connection_breaks(scene: Scene) -> None:
    scene.protocol.connection_lost(ConnectionResetError())


async def hub_ends(scene: Scene) -> None:
    scene.protocol.shutdown()


async def session_closes(scene: Scene) -> None:
    await scene.protocol.send({"type": "websocket.close", "code": 1000, "reason": ""})


async def socket_has_no_room(scene: Scene) -> None:
    scene.protocol.pause_writing()


WAYS: list[Callable[[Scene], Awaitable[None]]] = [
    peer_closes,
    peer_speaks_no_websocket,
    peer_sends_text_that_is_none,
    peer_does_not_answer_pings,
    connection_breaks,
    hub_ends,
    session_closes,
    socket_has_no_room,
]


@pytest.mark.parametrize("way", WAYS)
async def test_it_is_stopped_before_anything_is_written(way: Callable[[Scene], Awaitable[None]]) -> None:
    scene = Scene()
    await scene.open()
    before = len(scene.transport.written)
    await way(scene)
    assert scene.stopped[:1] == [before]
    assert not (scene.protocol.writer.open and scene.protocol.writer.room)
    await scene.end()


async def test_a_ping_is_answered_and_stops_nothing() -> None:
    scene = Scene()
    await scene.open()
    scene.protocol.data_received(b"\x89\x82\0\0\0\0ab")
    assert scene.transport.written[-1] == b"\x8a\x02ab"
    assert scene.stopped == []
    assert scene.protocol.writer.open
    await scene.end()
    assert scene.stopped


async def test_what_was_said_to_open_a_connection_is_forgotten() -> None:
    scene = Scene()
    await scene.open()
    assert scene.protocol.scope["headers"] == []
    assert scene.protocol.request is None
    assert scene.protocol.response is None
    await scene.end()
