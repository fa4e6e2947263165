"""Websocket messages that never end: bounded in memory, in pieces and in time, whoever sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol

from asman_server.config import HubConfig
from asman_server.delivery import unfinished
from asman_server.delivery.transport import HubWebSocketProtocol
from asman_server.delivery.unfinished import Unfinished
from asman_server.main import HubServer
from asman_shared.errors import CloseCode
from asman_shared.units import MIB
from devtools.patience import PATIENCE

HELLO = [{"type": "hello"}]
PIECE = b"x" * 1000


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HubServer]:
    """A hub that holds two MiB of unfinished messages."""
    monkeypatch.setattr(HubWebSocketProtocol, "unfinished", Unfinished(2 * MIB))
    started = HubServer(HubConfig(port=0, data_dir=tmp_path / "data", shutdown_timeout=1))
    await started.start()
    yield started
    await started.stop()


def dial(server: HubServer, path: str = "q/halves/client") -> connect:
    address = f"{server.address.replace('http', 'ws')}/{path}"
    protocols = [Subprotocol("asman.v1.msgpack")] if path.startswith("q/") else None
    return connect(address, subprotocols=protocols, compression=None, max_size=None)


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """The code and reason with which the hub closes."""
    with pytest.raises(ConnectionClosed) as ended:
        async with asyncio.timeout(PATIENCE):
            while True:
                await socket.recv()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


async def heard(socket: ClientConnection) -> str:
    """The type of the hub's next message."""
    async with asyncio.timeout(PATIENCE):
        frame = await socket.recv()
    assert isinstance(frame, bytes)
    return str(msgpack.unpackb(frame)[0]["type"])


def raw(socket: ClientConnection, data: bytes) -> None:
    """Sends bytes as they are."""
    socket.transport.write(data)


def part(size: int, of: int = 3 * MIB) -> bytes:
    """The beginning of one frame."""
    return Frame(Opcode.BINARY, bytes(of)).serialize(mask=True)[:size]


async def until_held(size: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while HubWebSocketProtocol.unfinished.bytes < size:
            await asyncio.sleep(0.01)


async def answered(server: HubServer) -> None:
    """Somebody with a small message notices nothing."""
    async with dial(server, "q/others/client") as other:
        await other.send(msgpack.packb(HELLO))
        assert await heard(other) == "welcome"


@pytest.mark.parametrize("path", ["q/halves/client", "q/halves/worker", "halves/client", "halves/worker"])
async def test_many_halves_of_messages_have_a_common_bound(server: HubServer, path: str) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(dial(server, path))
        raw(first, part(2 * MIB - 100_000))
        await until_held(2 * MIB - 101_000)
        second = await stack.enter_async_context(dial(server, path))
        raw(second, part(MIB))
        code, reason = await closed(second)
        assert (code, "try again later" in reason) == (CloseCode.OVERLOADED, True)
        await answered(server)
        first.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while HubWebSocketProtocol.unfinished.bytes:
                await asyncio.sleep(0.01)


async def test_a_large_message_is_read_when_there_is_room_again(server: HubServer) -> None:
    async with dial(server) as socket:
        await socket.send(msgpack.packb(HELLO))
        await socket.recv()
        ping = msgpack.packb([{"type": "ping", "ref": 7, "more": "x" * MIB}])
        for _ in range(5):
            await socket.send(ping)
            assert await heard(socket) == "pong"
        async with asyncio.timeout(PATIENCE):
            while HubWebSocketProtocol.unfinished.bytes:
                await asyncio.sleep(0.01)


async def test_a_message_of_tiny_pieces_has_a_bound(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "PIECES", 100)
    async with dial(server) as socket:
        raw(socket, Frame(Opcode.BINARY, b"", fin=False).serialize(mask=True))
        raw(socket, b"".join(Frame(Opcode.CONT, b"x", fin=False).serialize(mask=True) for _ in range(200)))
        assert await closed(socket) == (CloseCode.TOO_BIG, "a message has at most 100 pieces")
        await answered(server)


@pytest.mark.parametrize("pieces", [False, True])
async def test_a_message_that_trickles_ends_by_a_deadline(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, pieces: bool
) -> None:
    monkeypatch.setattr(unfinished, "GRACE_SECONDS", 0.3)
    async with dial(server) as socket:

        async def trickle() -> None:
            raw(socket, Frame(Opcode.BINARY, b"", fin=False).serialize(mask=True) if pieces else part(100))
            while socket.protocol.state is State.OPEN:
                raw(socket, Frame(Opcode.CONT, b"x", fin=False).serialize(mask=True) if pieces else b"x")
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(trickle())
        assert (await closed(socket))[0] == CloseCode.TOO_SLOW
        sending.cancel()
        await answered(server)


async def test_a_steady_stream_of_large_messages_has_no_deadline(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(unfinished, "RATE", 10**9)
    async with dial(server) as socket:
        await socket.send(msgpack.packb(HELLO))
        await socket.recv()
        frame = Frame(Opcode.BINARY, msgpack.packb([{"type": "ping", "ref": 1, "more": "x" * 200_000}]))
        data = frame.serialize(mask=True)
        raw(socket, data[:1000])
        for _ in range(20):
            raw(socket, data[1000:] + data[:1000])
            assert await heard(socket) == "pong"
            await asyncio.sleep(0.05)
