"""Requests over HTTP: the bounds of their heads, answers that are at hand, and their turns."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from asman_server.delivery import http_transport, turns
from asman_server.delivery.prompts import Prompts
from asman_server.limiting.idle import IdleConnections
from asman_server.main import HubServer
from devtools.patience import PATIENCE
from tests.support.served_hub import gone, served

LAST = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: hu"])
async def test_a_request_that_is_never_finished_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(http_transport, "HEAD_SECONDS", 0.2)
    async with served(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server._port)
        writer.write(said)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        await gone(server)
        writer.close()


async def test_a_second_request_on_the_same_connection_has_a_bound_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_transport, "HEAD_SECONDS", 0.5)
    async with served(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server._port)
        async with asyncio.timeout(PATIENCE):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.write(b"GET /healthz HTTP/1.1\r\nHo")
            rest = await reader.read()
        assert b"408 Request Timeout" in rest
        writer.close()


STRANGERS: dict[str, Any] = {"limit_connections": "address=2", "unlimited": "none", "trusted_proxies": "none"}
HALF = b"GET /healthz HTTP/1.1\r\nHost: h\r\n"
Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def opened(server: HubServer, said: bytes) -> Opened:
    reader, writer = await asyncio.open_connection("127.0.0.1", server._port)
    writer.write(said)
    return reader, writer


async def accepted(server: HubServer, count: int) -> None:
    """Waits until the hub has as many connections."""
    async with asyncio.timeout(PATIENCE):
        while len(server._server.server_state.connections) != count:
            await asyncio.sleep(0.01)


async def test_who_holds_half_requests_gives_up_the_oldest_for_each_that_is_one_too_many(tmp_path: Path) -> None:
    async with served(tmp_path, **STRANGERS) as server, asyncio.timeout(PATIENCE):
        held = []
        for number in range(5):
            held.append(await opened(server, HALF))
            await accepted(server, min(number + 1, 2))
        for reader, _ in held[:3]:
            assert (await reader.read()).startswith(b"HTTP/1.1 429 ")
        for reader, writer in held[3:]:
            writer.write(b"\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        assert server.hub.limiter.refused["connections", "address"] == 3
        for _, writer in held:
            writer.close()
        await gone(server)
        idle: IdleConnections = vars(server._server.config.http_protocol_class)["idle"]
        assert len(idle) == 0


@pytest.mark.parametrize("path", [b"/healthz", b"/q/a/jobs"])
async def test_connections_between_two_requests_are_bounded_too(tmp_path: Path, path: bytes) -> None:
    request = b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n"
    async with served(tmp_path, **STRANGERS) as server, asyncio.timeout(PATIENCE):
        held = []
        for _ in range(3):
            reader, writer = await opened(server, request)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            held.append((reader, writer))
        assert b"HTTP/1.1" not in await held[0][0].read(), "it is closed without another answer"
        held[1][1].write(request)
        assert b"HTTP/1.1 200 " in await held[1][0].readuntil(b"HTTP/1.1 200 ")
        for _, writer in held:
            writer.close()


@pytest.mark.parametrize("more", [{"trusted_proxies": ""}, {"unlimited": "127.0.0.1"}])
async def test_proxies_and_senders_without_limits_may_hold_more(tmp_path: Path, more: dict[str, str]) -> None:
    async with served(tmp_path, **{**STRANGERS, **more}) as server, asyncio.timeout(PATIENCE):
        held = [await opened(server, HALF) for _ in range(5)]
        await accepted(server, 5)
        for reader, writer in held:
            writer.write(b"\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.close()


async def test_a_head_without_end_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server._port)
        writer.write(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
        await gone(server)
        writer.close()


@pytest.mark.parametrize(
    "more", [b"Content-Length: 5\r\n\r\nbytes", b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"]
)
async def test_a_large_head_that_comes_in_one_piece_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(http_transport, "HEAD_BYTES", 1_000)
    async with served(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server._port)
        writer.write(b"POST /q/a/validate HTTP/1.1\r\nHost: h\r\nA: " + b"b" * 1_000 + b"\r\n" + more)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert (
            answer == b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        await gone(server)
        writer.close()


async def test_a_large_body_in_one_piece_with_its_head_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_transport, "HEAD_BYTES", 1_000)
    body = b'{"definition": {"image": "' + b"a" * 2_000 + b'"}}'
    async with served(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server._port)
        writer.write(b"POST /q/a/validate HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


class Turning(Prompts):
    """Answers requests for ``/here`` with the turn of the event loop in which each is answered."""

    def __init__(self) -> None:
        self.turn = 0
        self.answered: list[int] = []

    def count(self, loop: asyncio.AbstractEventLoop) -> None:
        """Counts turns from now on."""
        self.turn += 1
        loop.call_soon(self.count, loop)

    def answer(self, path: str, query: bytes) -> tuple[bytes, bytes] | None:
        if path != "/here":
            return None
        self.answered.append(self.turn)
        return b"content-length: %d\r\n" % len(query), query


async def test_many_requests_at_once_share_the_turns_of_the_loop_and_are_answered_in_their_order(
    tmp_path: Path,
) -> None:
    prompts = Turning()
    async with served(tmp_path) as server:
        protocol: Any = server._server.config.http_protocol_class
        protocol.prompts = prompts
        reader, writer = await asyncio.open_connection("127.0.0.1", server._port)
        prompts.count(asyncio.get_running_loop())
        asked = b"".join(b"GET /here?%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(100))
        writer.write(asked + LAST)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
    told = [part.split(b"\r\n\r\n")[1] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert told[:100] == [b"%d" % number for number in range(100)]
    assert told[100:] == [b"OK"]
    assert len(prompts.answered) == 100
    most = max(prompts.answered.count(turn) for turn in set(prompts.answered))
    assert 1 < most <= turns.REQUESTS


class Large(Prompts):
    """Answers every request with as much as a socket takes at once."""

    answered = 0

    def answer(self, path: str, query: bytes) -> tuple[bytes, bytes] | None:
        self.answered += 1
        return b"content-length: 1000000\r\n", b"x" * 1_000_000


async def test_a_client_that_reads_no_answers_is_not_answered_at_once_for_ever(tmp_path: Path) -> None:
    prompts = Large()
    async with served(tmp_path) as server:
        protocol: Any = server._server.config.http_protocol_class
        protocol.prompts = prompts
        with socket.create_connection(("127.0.0.1", server._port), timeout=PATIENCE) as client:
            client.sendall(LAST.replace(b"close", b"keep-alive") * 200)
            async with asyncio.timeout(PATIENCE):
                connections: set[Any] = {*server._server.server_state.connections}
                while not any(each.flow.write_paused for each in connections):
                    await asyncio.sleep(0.01)
                    connections = {*server._server.server_state.connections}
            assert prompts.answered < 50
        await gone(server)
