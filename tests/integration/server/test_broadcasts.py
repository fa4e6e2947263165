"""Changes told to many real sockets at once: whole, in order, beside everything else that happens on a connection."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from asman_server.config import HubConfig
from asman_server.main import HubServer
from devtools.patience import PATIENCE

JOBS = 40
MSGPACK, JSON = Subprotocol("asman.v1.msgpack"), Subprotocol("asman.v1.json")


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HubServer]:
    server = HubServer(HubConfig(port=0, data_dir=tmp_path / "data", shutdown_timeout=1))
    await server.start()
    yield server
    await server.stop()


def address(hub: HubServer) -> str:
    return hub.address.replace("http", "ws") + "/q/q/client"


class Follower:
    """A client that watches the queue, in one of the two languages."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.text = connection.subprotocol == JSON

    async def say(self, *messages: dict[str, Any]) -> None:
        await self.connection.send(json.dumps(messages) if self.text else msgpack.packb(messages))

    async def hear(self) -> list[dict[str, Any]]:
        frame = await self.connection.recv()
        found: list[dict[str, Any]] = json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame)
        return found

    async def seqs(self, until: int) -> list[int]:
        """The numbers of all changes that come, up to one."""
        found: list[int] = []
        async with asyncio.timeout(PATIENCE):
            while not found or found[-1] < until:
                found += [message["seq"] for message in await self.hear() if message["type"] == "changed"]
        return found


async def follower(stack: AsyncExitStack, hub: HubServer, language: Subprotocol) -> Follower:
    made = Follower(await stack.enter_async_context(connect(address(hub), subprotocols=[language], max_size=None)))
    await made.say({"type": "hello", "follow": "queue"})
    assert (await made.hear())[0]["type"] == "welcome"
    return made


async def submit(client: Follower, *, first: int = 0) -> None:
    for number in range(first, first + JOBS):
        definition = {"image": "a", "command": [str(number)]}
        await client.say({"type": "submit", "ref": number, "definition": definition, "follow": False})


async def test_all_hear_every_change_in_its_place_beside_pings_answers_and_their_own_requests(hub: HubServer) -> None:
    async with AsyncExitStack() as stack:
        followers = [await follower(stack, hub, language) for language in (MSGPACK, JSON) * 6]
        busy, pinging = followers[:2]
        heard = [asyncio.ensure_future(each.seqs(JOBS)) for each in followers]
        await submit(busy)
        async with asyncio.timeout(PATIENCE):
            for _ in range(5):
                await (await pinging.connection.ping())
            assert await asyncio.gather(*heard) == [list(range(1, JOBS + 1))] * len(followers)


async def test_those_who_go_and_one_that_never_reads_take_nothing_from_the_others(hub: HubServer) -> None:
    async with AsyncExitStack() as stack:
        stays, goes, client = [await follower(stack, hub, MSGPACK) for _ in range(3)]
        deaf = stack.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.to_thread(deaf.connect, ("127.0.0.1", hub._port))
        deaf.sendall(
            b"GET /q/q/client HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: asman.v1.json\r\n\r\n"
        )
        assert b" 101 " in await asyncio.to_thread(deaf.recv, 1024)
        hello = json.dumps([{"type": "hello", "follow": "queue"}]).encode()
        deaf.sendall(bytes((0x81, 0x80 | len(hello))) + b"\0\0\0\0" + hello)
        heard = asyncio.ensure_future(stays.seqs(2 * JOBS))
        await submit(client)
        await goes.seqs(1)
        async with asyncio.timeout(PATIENCE):
            await goes.connection.close()
        assert goes.connection.close_code == 1000
        await submit(client, first=JOBS)
        assert await heard == list(range(1, 2 * JOBS + 1))


async def test_a_change_longer_than_the_longest_short_frame_is_one_frame(hub: HubServer) -> None:
    """65,536 bytes and more need the long form of a frame's length."""
    async with AsyncExitStack() as stack:
        quiet, client = [await follower(stack, hub, MSGPACK) for _ in range(2)]
        submits = [
            {"type": "submit", "ref": n, "definition": {"image": "a" * 200, "command": [str(n)]}, "follow": False}
            for n in range(800)
        ]
        frames: list[int] = []
        await client.say(*submits)
        heard: list[int] = []
        async with asyncio.timeout(PATIENCE):
            while not heard or heard[-1] < len(submits):
                frame = await quiet.connection.recv()
                assert isinstance(frame, bytes)
                frames.append(len(frame))
                heard += [message["seq"] for message in msgpack.unpackb(frame) if message["type"] == "changed"]
        assert heard == list(range(1, len(submits) + 1))
        assert max(frames) > 65_535


async def test_a_hub_that_ends_says_so_to_all(tmp_path: Path) -> None:
    server = HubServer(HubConfig(port=0, data_dir=tmp_path / "data", shutdown_timeout=5))
    await server.start()
    async with AsyncExitStack() as stack:
        followers = [await follower(stack, server, MSGPACK) for _ in range(5)]
        await submit(followers[0])
        await server.stop()
        async with asyncio.timeout(PATIENCE):
            for each in followers:
                await each.connection.wait_closed()
        assert {each.connection.close_code for each in followers} == {1012}
