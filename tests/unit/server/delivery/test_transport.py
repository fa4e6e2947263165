"""Frames written past ASGI, and the bounds on who stalls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader
from websockets.typing import Subprotocol

from asman_server import main
from asman_server.delivery import transport
from asman_server.delivery.transport import framed
from asman_server.main import HubServer
from asman_server.sessions import session
from asman_shared.errors import CloseCode
from devtools.patience import PATIENCE
from tests.support.served_hub import gone, served


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537, 300_000])
@pytest.mark.parametrize("text", [False, True])
def test_frames_of_every_size_are_read_by_websockets_own_parser(size: int, text: bool) -> None:
    reader = StreamReader()
    reader.feed_data(framed(b"x" * size, text=text))
    parsing: Generator[None, None, Frame] = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as done:
        while True:
            next(parsing)
    frame: Frame = done.value.value
    assert frame.opcode is (Opcode.TEXT if text else Opcode.BINARY)
    assert frame.fin
    assert bytes(frame.data) == b"x" * size
    assert len(reader.buffer) == 0


def address(server: HubServer) -> str:
    return server.address.replace("http", "ws") + "/q/q/client"


@asynccontextmanager
async def deaf(server: HubServer) -> AsyncIterator[socket.socket]:
    """A client that reads the answer to its handshake and nothing after it."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(PATIENCE)
        await asyncio.to_thread(made.connect, ("127.0.0.1", server._port))
        made.sendall(
            b"GET /q/q/client HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: asman.v1.json\r\n\r\n"
        )
        assert b" 101 " in await asyncio.to_thread(made.recv, 1024)
        yield made


def say(connection: socket.socket, *messages: Any) -> None:
    payload = json.dumps(messages).encode()
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    connection.sendall(head + b"\0\0\0\0" + payload)


def _frame(messages: list[Any]) -> bytes:
    payload = json.dumps(messages).encode()
    return b"\x81\xff" + len(payload).to_bytes(8, "big") + b"\0\0\0\0" + payload


async def test_a_reader_that_never_reads_is_cut_off_when_it_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "CLOSE_SECONDS", 0.2)
    async with served(tmp_path) as server, deaf(server) as client:
        say(client, {"type": "hello"})
        registry = server.hub.registry
        async with asyncio.timeout(PATIENCE):
            while "q" not in registry.queues or not registry.queues["q"].connections:
                await asyncio.sleep(0.01)
            asked = {"type": "put_blobs", "ref": 1, "blobs": [["0" * 64, 1]] * 600}
            with contextlib.suppress(ConnectionError):
                while server.hub.services.flusher.overflows == 0:
                    await asyncio.to_thread(client.sendall, _frame([asked] * 8))
        assert server.hub.services.flusher.overflows == 1
        await gone(server)
        assert registry.queues == {}, "its session goes with it"


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"\x82\xff" + (2**40).to_bytes(8, "big") + bytes(4), CloseCode.TOO_BIG),
        (b"\xff\xff" + (2**40).to_bytes(8, "big") + bytes(4), CloseCode.BAD_FRAME),
        (_frame([]).replace(b"[]", b"\xff\xff"), CloseCode.BAD_TEXT),
    ],
)
async def test_who_is_still_sending_what_cant_be_read_gets_the_close_frame(
    tmp_path: Path, head: bytes, code: CloseCode
) -> None:
    async with served(tmp_path) as server, deaf(server) as client:
        say(client, {"type": "hello"})
        await asyncio.to_thread(client.sendall, head)
        for _ in range(40):  # more than the buffers of both sockets hold
            await asyncio.to_thread(client.sendall, _frame([0] * 300_000))
        got = b""
        while piece := await asyncio.to_thread(client.recv, 65536):
            got += piece
        assert code.to_bytes(2, "big") in got[got.rindex(b"\x88") :][:4]
        client.close()
        await gone(server)


async def test_who_never_stops_sending_what_cant_be_read_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "CLOSE_SECONDS", 0.2)
    async with served(tmp_path) as server, deaf(server) as client:
        await asyncio.to_thread(client.sendall, b"\xff" * 100)
        with pytest.raises(ConnectionError):
            while True:
                await asyncio.to_thread(client.sendall, bytes(1_000_000))
        await gone(server)


async def test_half_open_connections_are_found_by_pings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "PING_SECONDS", 0.2)
    monkeypatch.setattr(transport, "CLOSE_SECONDS", 0.2)
    async with served(tmp_path) as server, deaf(server) as client:
        say(client, {"type": "hello"})
        async with asyncio.timeout(PATIENCE):
            while not server._server.server_state.connections:
                await asyncio.sleep(0.01)
        await gone(server)


async def test_no_hello_in_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "HELLO_TIMEOUT", 0.1)
    async with served(tmp_path) as server:
        async with connect(address(server), subprotocols=[Subprotocol("asman.v1.json")]) as client:
            async with asyncio.timeout(PATIENCE):
                await client.wait_closed()
        assert client.close_code == CloseCode.HELLO_TIMEOUT
