"""Single HTTP requests to a hub: its answer, its own error, or a sentence about what is there instead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asman.address import parse_address
from asman.cli import http_query
from asman.cli.http_query import ask
from asman_shared.errors import AsmanError, BadRequest, ConnectionFailed, NotFound, ProtocolError
from devtools.ports import free_port


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)


@asynccontextmanager
async def serving(data: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers every request with the same bytes; gives a queue there, and the requests."""
    seen: list[bytes] = []

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/q/my-queue", seen
    finally:
        server.close()


async def asked(url: str, **query: Any) -> dict[str, Any]:
    return await asyncio.to_thread(ask, parse_address(url), "jobs", query)


async def refused(data: bytes) -> AsmanError:
    async with serving(data) as (url, _):
        with pytest.raises(AsmanError) as caught:
            await asked(url)
        return caught.value


async def test_a_query_is_sent_whole_and_its_answer_is_an_object() -> None:
    async with serving(answer(200, b'{"jobs": []}')) as (url, seen):
        assert await asked(url, limit=5, state=["Queued", "Running"], text="a&b") == {"jobs": []}
    assert seen[0].startswith(b"GET /q/my-queue/jobs?limit=5&state=Queued&state=Running&text=a%26b HTTP/1.1\r\n")
    assert b"Accept: application/json\r\n" in seen[0]


@pytest.mark.parametrize(("status", "code", "kind"), [(404, "not_found", NotFound), (400, "bad_request", BadRequest)])
async def test_the_hubs_own_error_is_raised_as_its_class(status: int, code: str, kind: type[AsmanError]) -> None:
    error = await refused(answer(status, json.dumps({"error": "a sentence", "code": code, "field": "f"}).encode()))
    assert (type(error), error.message, error.field) == (kind, "a sentence", "f")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": 5, "code": "x"}', b'{"error": "x"}', b"[1]"])
async def test_an_error_that_no_hub_gives_is_told_with_its_status(body: bytes) -> None:
    error = await refused(answer(502, body))
    assert type(error) is ConnectionFailed
    assert "HTTP status 502" in error.message


@pytest.mark.parametrize("body", [b"", b"hello", b"[1]", b"null", b'{"a"', b"\xff"])
async def test_an_answer_that_can_not_be_read_is_no_hubs(body: bytes) -> None:
    error = await refused(answer(200, body))
    assert type(error) is ProtocolError
    assert "is not an Asman hub" in error.message


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "closed the connection before it answered"), (b"SSH-2.0-x\r\n\r\n", "is not an Asman hub")],
)
async def test_what_is_no_web_server_is_said(data: bytes, says: str) -> None:
    error = await refused(data)
    assert type(error) is ConnectionFailed
    assert says in error.message


async def test_a_hub_that_is_not_there_is_said() -> None:
    with pytest.raises(ConnectionFailed, match="nothing listens at"):
        await asked(f"http://127.0.0.1:{free_port()}/q/my-queue")


async def test_an_answer_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"a": 1}'
    monkeypatch.setattr(http_query, "MOST_BYTES", len(body))
    async with serving(answer(200, body)) as (url, _):
        assert await asked(url) == {"a": 1}
    assert type(await refused(answer(200, body + b" "))) is ProtocolError
