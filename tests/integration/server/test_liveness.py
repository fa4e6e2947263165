"""Who is there: proved on the socket that carries the work, by a hub in this process whose patience is short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgpack
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from asman_server.config import HubConfig
from asman_server.main import HubServer
from asman_shared import limits
from asman_shared.errors import CloseCode
from devtools.patience import PATIENCE

MSGPACK = Subprotocol("asman.v1.msgpack")
REGISTER = {"type": "register", "incarnation": "0123456789abcdef", "name": "w", "cpus": 1}


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a hub that hears a heartbeat every fifth of a second."""
    monkeypatch.setattr(limits, "HEARTBEAT_MS", 200)
    server = HubServer(HubConfig(port=0, data_dir=tmp_path / "data", shutdown_timeout=1))
    await server.start()
    yield server.address.replace("http", "ws")
    await server.stop()


async def test_a_worker_that_is_silent_on_the_socket_of_its_work_is_closed(hub: str) -> None:
    """It answers websocket pings all the time, as a stuck process does whose library lives."""
    async with connect(f"{hub}/q/q/worker", subprotocols=[MSGPACK]) as worker:
        await worker.send(msgpack.packb([REGISTER]))
        async with asyncio.timeout(PATIENCE):
            await worker.wait_closed()
    assert worker.close_code == CloseCode.SILENT


async def test_an_idle_worker_that_only_pings_is_left_alone(hub: str) -> None:
    async with (
        connect(f"{hub}/q/q/worker", subprotocols=[MSGPACK]) as worker,
        connect(f"{hub}/q/q/worker", subprotocols=[MSGPACK]) as silent,
    ):
        await worker.send(msgpack.packb([REGISTER]))
        await silent.send(msgpack.packb([{**REGISTER, "incarnation": "fedcba9876543210"}]))
        closing = asyncio.ensure_future(silent.wait_closed())
        while not closing.done():
            await worker.send(msgpack.packb([{"type": "ping", "ref": 1}]))
            await asyncio.sleep(0.05)
        assert worker.close_code is None


async def test_compression_is_declined(hub: str) -> None:
    async with connect(f"{hub}/q/q/client", subprotocols=[MSGPACK], compression="deflate") as client:
        assert client.protocol.extensions == []
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers


async def test_a_name_is_the_same_queue_however_its_address_is_written(hub: str) -> None:
    async with connect(f"{hub}/q/%61b%2Dc/client", subprotocols=[MSGPACK]) as client:
        await client.send(
            msgpack.packb([{"type": "hello"}, {"type": "submit", "ref": 1, "definition": {"image": "a"}}])
        )
        async with asyncio.timeout(PATIENCE):
            while True:
                messages = msgpack.unpackb(await client.recv(decode=False))
                if any(message["type"] == "accepted" for message in messages):
                    break
    async with aiohttp.ClientSession() as session:
        for path in ("/q/ab-c/jobs", "/q/%61b-c/jobs"):
            async with session.get(f"{hub.replace('ws', 'http')}{path}") as answer:
                assert len((await answer.json())["jobs"]) == 1
