"""One try to deliver a webhook, against real sockets that lead it astray."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from asman_server.clock import wall_clock
from asman_server.storage.commit import WebhookRow
from asman_server.webhooks import guard as webhook_guard
from asman_server.webhooks.sender import NotDelivered, Sender, _redirected
from asman_shared.public_addresses import closed
from tests.support.receiver import Delivery, receiver


def row(url: str) -> WebhookRow:
    return WebhookRow("id", "q", "queued", "host:1", url, b'{"a":1}', 0, 0, 0)


def redirect_to(location: str) -> Any:
    async def answer(delivery: Delivery) -> web.Response:
        if delivery.path.startswith("/inside"):
            return web.Response(text="secrets")
        return web.Response(status=307, headers={"Location": location})

    return answer


@pytest.fixture
def only_one_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 plays the public internet; the rest of loopback is closed as ever."""
    monkeypatch.setattr(webhook_guard, "closed", lambda text: None if text == "127.0.0.1" else closed(text))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What host names resolve to, answer by answer."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        if host in known:
            host = known[host].pop(0)
        return real(host, port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


async def test_a_closed_address_is_not_connected_to() -> None:
    async with receiver() as made, Sender(b"s", wall_clock) as send:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"):
            with pytest.raises(NotDelivered) as caught:
                await send(row(made.url(host=host)))
            assert caught.value.final or "reached" in caught.value.message
    assert made.came == []


@pytest.mark.usefixtures("only_one_is_open")
async def test_a_redirect_to_a_closed_address_is_refused() -> None:
    async with receiver() as inside, receiver() as made, Sender(b"s", wall_clock) as send:
        for host in ("127.0.0.2", "localhost.localdomain", "[::1]", "169.254.169.254", "0.0.0.0"):
            made.answer = redirect_to(inside.url("/inside", host=host))
            before = len(made.came)
            with pytest.raises(NotDelivered):
                await send(row(made.url("/outside")))
            assert len(made.came) == before + 1
        assert inside.came == []
        made.answer = redirect_to(inside.url("/inside"))
        await send(row(made.url("/outside")))
        assert len(inside.came) == 1


@pytest.mark.usefixtures("only_one_is_open")
async def test_a_name_is_judged_by_the_address_that_is_connected_to(names: dict[str, list[str]]) -> None:
    names["hooks.example"] = ["127.0.0.1", "127.0.0.2"]
    async with receiver() as made, Sender(b"s", wall_clock) as send:
        await send(row(made.url(host="hooks.example")))
        with pytest.raises(NotDelivered, match="loopback") as caught:
            await send(row(made.url(host="hooks.example")))
        assert caught.value.final
        assert names["hooks.example"] == [], "each try asks once, and connects to the answer"
    assert len(made.came) == 1


@pytest.mark.usefixtures("only_one_is_open")
async def test_a_redirect_by_name_is_judged_too(names: dict[str, list[str]]) -> None:
    names["inside.example"] = ["127.0.0.2"]
    async with receiver() as made, Sender(b"s", wall_clock) as send:
        made.answer = redirect_to(made.url("/inside", host="inside.example"))
        with pytest.raises(NotDelivered, match="loopback"):
            await send(row(made.url("/outside")))
    assert [d.path for d in made.came] == ["/outside"]


@pytest.mark.parametrize("status", [199 + 1, 201, 202, 204, 299])
async def test_every_2xx_is_a_delivery(status: int) -> None:
    async def answer(_delivery: Delivery) -> web.Response:
        return web.Response(status=status)

    async with receiver(answer=answer) as made, Sender(b"s", wall_clock, allow_private=True) as send:
        await send(row(made.url()))


@pytest.mark.parametrize(
    ("status", "final"), [(303, False), (304, False), (400, False), (404, False), (410, True), (500, False)]
)
async def test_other_answers_are_failures(status: int, final: bool) -> None:
    async def answer(_delivery: Delivery) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with receiver(answer=answer) as made, Sender(b"s", wall_clock, allow_private=True) as send:
        with pytest.raises(NotDelivered, match=str(status)) as caught:
            await send(row(made.url()))
    assert caught.value.final is final
    assert len(made.came) == 1


@pytest.mark.parametrize("location", ["ftp://x.example/", "file:///etc/passwd", "http://x.example/", "//[::1"])
def test_redirects_that_lead_to_no_webhook_are_refused(location: str) -> None:
    with pytest.raises(NotDelivered) as caught:
        _redirected("https://hooks.example/", location)
    assert caught.value.final


def test_redirects_that_are_followed() -> None:
    assert _redirected("https://a.example/x/y", "../z") == "https://a.example/z"
    assert _redirected("http://a.example/", "https://b.example/") == "https://b.example/"
    assert _redirected("http://a.example/", "//b.example/c") == "http://b.example/c"


async def test_a_certificate_that_is_not_trusted_is_a_failure() -> None:
    async with receiver() as made, Sender(b"s", wall_clock, allow_private=True) as send:
        with pytest.raises(NotDelivered):
            await send(row(made.url().replace("http:", "https:")))
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


@asynccontextmanager
async def flood(first: bytes, again: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """Answers with bytes without end; yields its URL and how many bytes it could write."""
    sent = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(first)
            while True:
                writer.write(again)
                await writer.drain()
                sent[0] += len(again)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", sent


async def test_an_answer_without_end_is_not_read() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n"
    async with flood(head, b"x" * 65536) as (url, sent), Sender(b"s", wall_clock, allow_private=True) as send:
        await send(row(url))
    assert sent[0] < 64 * 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


async def test_headers_without_end_are_a_failure() -> None:
    line = b"X-More: " + b"x" * 4000 + b"\r\n"
    async with flood(b"HTTP/1.1 200 OK\r\n", line) as (url, sent), Sender(b"s", wall_clock, allow_private=True) as send:
        with pytest.raises(NotDelivered):
            await send(row(url))
    assert sent[0] < 64 * 2**20


async def test_silence_ends_after_the_timeout() -> None:
    async def silent(_delivery: Delivery) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with receiver(answer=silent) as made, Sender(b"s", wall_clock, allow_private=True, timeout=0.2) as send:
        with pytest.raises(NotDelivered, match="in time"):
            await send(row(made.url()))


async def test_proxies_and_cookies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(_delivery: Delivery) -> web.Response:
        return web.Response(headers={"Set-Cookie": "a=b"})

    async with receiver() as proxy, receiver(answer=answer) as made:
        monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
        monkeypatch.setenv("http_proxy", proxy.url(""))
        async with Sender(b"s", wall_clock, allow_private=True) as send:
            await send(row(made.url()))
            await send(row(made.url()))
    assert proxy.came == []
    assert "cookie" not in made.came[1].headers
