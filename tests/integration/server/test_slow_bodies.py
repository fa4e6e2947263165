"""Request bodies that stall or trickle end by a deadline on every endpoint; a hub in this process is impatient."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from asman_server.bodies import Bodies, Pace
from asman_server.config import HubConfig
from asman_server.main import HubServer
from asman_server.rest import requests
from asman_shared.units import MIB
from devtools.patience import PATIENCE
from tests.support.api import opened_api

NAME = "a" * 64
BUFFERING = [
    ("POST", "/q/slow/jobs"),
    ("POST", "/q/slow/validate"),
    ("PUT", "/q/slow/settings"),
    ("POST", "/q/slow"),
    ("POST", f"/j/{NAME}/copy"),
    ("POST", "/q/slow/mcp"),
    ("POST", "/mcp"),
    ("POST", "/q/slow/ga4gh/tes/v1/tasks"),
]
STREAMING = [("PUT", f"/f/{NAME}"), ("PUT", "/f/plain.txt")]


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HubServer]:
    """A hub whose patience with bodies ends after a fifth of a second."""
    for pace in ("BUFFERED", "STREAMED"):
        monkeypatch.setattr(requests, pace, Pace(idle=0.2, grace=0.2, rate=10 * MIB))
    started = HubServer(HubConfig(port=0, data_dir=tmp_path / "data", shutdown_timeout=1))
    await started.start()
    yield started
    await started.stop()


class Sender:
    """A connection on which a test sends the bytes of a request itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def begin(self, method: str, path: str, size: int, body: bytes = b"") -> None:
        """Announces a body and sends the first part of it."""
        head = f"{method} {path} HTTP/1.1\r\nHost: hub\r\nContent-Length: {size}\r\n\r\n"
        await self.more(head.encode() + body)

    async def more(self, body: bytes) -> None:
        self._writer.write(body)
        await self._writer.drain()

    async def answer(self) -> bytes:
        """Everything that the hub says until it closes the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read()

    async def head(self) -> bytes:
        """The status and headers of the answer."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def close(self) -> None:
        self._writer.close()


async def connected(server: HubServer) -> Sender:
    port = int(server.address.rpartition(":")[2])
    return Sender(*await asyncio.open_connection("127.0.0.1", port))


@pytest.mark.parametrize(("method", "path"), BUFFERING + STREAMING)
async def test_a_body_that_stalls_is_refused_and_its_connection_closed(
    server: HubServer, method: str, path: str
) -> None:
    sender = await connected(server)
    await sender.begin(method, path, 1000, b'{"definition"')
    answer = await sender.answer()
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    assert b'"code":"too_slow"' in answer
    assert b"send it again" in answer
    assert server.hub.bodies.bytes == 0
    await sender.close()


@pytest.mark.parametrize(("method", "path"), [BUFFERING[0], STREAMING[0]])
async def test_a_body_that_trickles_is_refused_too(server: HubServer, method: str, path: str) -> None:
    sender = await connected(server)
    await sender.begin(method, path, 100_000)

    async def trickle() -> None:
        while True:
            await sender.more(b" ")
            await asyncio.sleep(0.05)

    trickling = asyncio.ensure_future(trickle())
    assert (await sender.head()).startswith(b"HTTP/1.1 408 ")
    trickling.cancel()
    await asyncio.wait([trickling])
    await sender.close()


async def test_many_stalled_bodies_hold_a_bounded_memory_and_leave_room_for_small_ones(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BUFFERED", Pace(idle=PATIENCE, grace=PATIENCE, rate=MIB))
    server.hub.bodies = bodies = Bodies(4 * MIB)
    most = 0
    async with AsyncExitStack() as stack:
        senders = [await connected(server) for _ in range(6)]
        for sender in senders:
            stack.push_async_callback(sender.close)
            await sender.begin("POST", "/q/slow/jobs", 2 * MIB, b" " * MIB)
        heads = [asyncio.ensure_future(sender.head()) for sender in senders]
        done, stalled = await asyncio.wait(heads, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 3:  # three bodies fill what large ones may have
            more, stalled = await asyncio.wait(stalled, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            assert more
            done |= more
        most = max(most, bodies.bytes)
        for head in done:
            assert head.result().startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1" in head.result().lower()
        async with opened_api(server.address) as api:
            assert await api.submit("slow")
        assert 2 * MIB <= most <= 4 * MIB
        for head in stalled:
            head.cancel()
        await asyncio.wait(heads)
    async with asyncio.timeout(PATIENCE):
        while bodies.bytes:
            await asyncio.sleep(0.01)


async def test_an_upload_that_is_slow_but_goes_on_arrives(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "STREAMED", Pace(idle=5, grace=0.2, rate=10))
    body = b"0123456789" * 10
    key = hashlib.sha256(body).hexdigest()
    sender = await connected(server)
    await sender.begin("PUT", f"/f/{key}", len(body))
    for at in range(0, len(body), 10):
        await asyncio.sleep(0.05)
        await sender.more(body[at : at + 10])
    assert (await sender.head()).startswith(b"HTTP/1.1 201 ")
    await sender.close()
