"""Reaching addresses of blobs: redirects that are judged, and what each status means."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from asman_shared.errors import (
    AsmanError,
    BadRequest,
    ConnectionFailed,
    Forbidden,
    NotFound,
    TooLarge,
    Unauthentic,
    Unavailable,
)
from asman_shared.transfer.http import Http
from asman_shared.transfer.retry import Stale, UnknownHost
from devtools.ports import free_port

STALL = 20.0


class Server:
    """A server whose addresses say what they answer: ``/status/404``, ``/redirect/3``, ``/echo``."""

    def __init__(self) -> None:
        self.url = ""
        self.body: Any = b""
        self.seen: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        what, _, rest = request.path.strip("/").partition("/")
        if what == "status":
            return web.Response(status=int(rest), body=self.body)
        if what == "redirect":
            to = f"/redirect/{int(rest) - 1}" if int(rest) else "/echo"
            return web.Response(status=302, headers={"Location": to})
        if what == "to":
            return web.Response(status=307, headers={"Location": request.query["url"]})
        return web.Response(body=await request.read())


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    made = Http()
    yield made
    await made.close()
    await made.close()


async def got(http: Http, url: str) -> int:
    async with http.get(url, {}, STALL) as response:
        return response.status


async def sent(http: Http, url: str) -> None:
    await http.put("PUT", url, {"Content-Length": "1"}, b"x", STALL)


@pytest.mark.parametrize(
    ("errno", "kind", "says"),
    [
        (socket.EAI_NONAME, UnknownHost, "there is no host named 'data.example'"),
        (socket.EAI_AGAIN, ConnectionFailed, "the name 'data.example' can't be looked up now (try again)"),
        (socket.EAI_FAIL, ConnectionFailed, "the name 'data.example' can't be looked up now (try again)"),
    ],
)
async def test_a_name_that_is_unknown_is_told_from_one_that_can_not_be_looked_up_now(
    http: Http, monkeypatch: pytest.MonkeyPatch, errno: int, kind: type[AsmanError], says: str
) -> None:
    async def look_up(self: asyncio.BaseEventLoop, *args: Any, **more: Any) -> Any:
        raise socket.gaierror(errno, "try again")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    with pytest.raises(ConnectionFailed) as caught:
        await got(http, "http://data.example/x")
    assert (type(caught.value), caught.value.message) == (kind, says)


async def test_redirects_are_followed_up_to_a_bound(http: Http, server: Server) -> None:
    assert await got(http, f"{server.url}/redirect/4") == 200
    with pytest.raises(BadRequest, match="redirects without end"):
        await got(http, f"{server.url}/redirect/5")


async def test_every_step_of_a_redirect_is_judged_before_it_is_reached(server: Server) -> None:
    judged: list[str] = []

    def guard(url: URL) -> None:
        judged.append(url.path)
        if url.host == "169.254.169.254":
            raise Forbidden("not there")

    http = Http(guard=guard)
    with pytest.raises(Forbidden):
        await got(http, f"{server.url}/to?url=http://169.254.169.254/secret")
    assert judged == ["/to", "/secret"]
    await http.close()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x",
        "file:///etc/passwd",
        "http://",
        "x",
        "http://[::1/x",
        "http://h:port/x",
        "http://h:port/a b",
        "http://h:65536/",
        "http://a b/x",
        "http://:80/x",
        "http://a..b/x",
        "http://é..b/x",
        "http://" + "x" * 64 + "/",
    ],
)
async def test_what_is_no_http_address_is_refused(http: Http, url: str) -> None:
    with pytest.raises(BadRequest, match="is not an http address"):
        await got(http, url)


async def test_no_signature_is_in_an_error(http: Http, server: Server) -> None:
    for url in (f"{server.url}/status/404?sig=SECRET", f"http://127.0.0.1:{free_port()}/x?sig=SECRET"):
        with pytest.raises(AsmanError) as caught:
            await sent(http, url)
        assert "SECRET" not in str(caught.value)
    with pytest.raises(BadRequest) as wrong:
        await got(http, "ftp://h/x?sig=SECRET")
    assert "SECRET" not in str(wrong.value)


async def test_a_server_that_is_not_there_may_be_tried_again(http: Http) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        await got(http, f"http://127.0.0.1:{free_port()}/x")
    assert caught.value.retry


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_a_success_is_none_to_speak_of(http: Http, server: Server, status: int) -> None:
    await sent(http, f"{server.url}/status/{status}")


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (413, TooLarge, False),
        (422, Unauthentic, False),
        (401, Stale, True),
        (403, Stale, True),
        (404, Stale, True),
        (409, Stale, True),
        (408, Unavailable, True),
        (429, Unavailable, True),
        (500, Unavailable, True),
        (503, Unavailable, True),
        (507, AsmanError, False),
        (400, AsmanError, False),
        (302, AsmanError, False),
    ],
)
async def test_each_status_has_its_error(
    http: Http, server: Server, status: int, kind: type[AsmanError], retry: bool
) -> None:
    with pytest.raises(AsmanError, match=f"HTTP status {status}") as caught:
        await sent(http, f"{server.url}/status/{status}")
    assert (type(caught.value), caught.value.retry) == (kind, retry)


@pytest.mark.parametrize(
    ("body", "of_proxy"),
    [("", True), ("<html>413 Request Entity Too Large</html>", True), ('{"error":"at most 1 MiB","code":"x"}', False)],
)
async def test_a_proxy_that_takes_only_small_bodies_is_named_with_the_remedy(
    http: Http, server: Server, body: str, of_proxy: bool
) -> None:
    server.body = body.encode()
    with pytest.raises(TooLarge) as caught:
        await sent(http, f"{server.url}/status/413")
    assert ("client_max_body_size" in caught.value.message) is of_proxy
    assert ("at most 1 MiB" in caught.value.message) is not of_proxy


@pytest.mark.parametrize(
    ("code", "kind"),
    [("BadDigest", Unauthentic), ("XAmzContentChecksumMismatch", Unauthentic), ("EntityTooSmall", AsmanError)],
)
async def test_what_some_storages_say_with_400_is_taken_by_its_meaning(
    http: Http, server: Server, code: str, kind: type[AsmanError]
) -> None:
    server.body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    with pytest.raises(AsmanError) as caught:
        await sent(http, f"{server.url}/status/400")
    assert type(caught.value) is kind


async def test_an_address_that_can_not_be_renewed_is_not_there(http: Http, server: Server) -> None:
    from asman_shared.transfer.http import check

    async with http.get(f"{server.url}/status/404", {}, STALL) as response:
        with pytest.raises(NotFound):
            await check(response, fresh=False)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "the quota is used up", "code": "x"}', " (the quota is used up)"),
        (b"plain\n  text", " (plain text)"),
        (b"<html>a page", ""),
        (b"", ""),
        (b"x" * 5000, f" ({'x' * 300})"),
        (b'{"error": 5}', ' ({"error": 5})'),
    ],
)
async def test_what_the_server_says_is_told_in_a_line(http: Http, server: Server, body: bytes, said: str) -> None:
    server.body = body
    with pytest.raises(AsmanError) as caught:
        await sent(http, f"{server.url}/status/400")
    assert caught.value.message.endswith(f"answered with HTTP status 400{said}")


async def test_an_address_is_sent_as_it_is_written(http: Http, server: Server) -> None:
    await got(http, f"{server.url}/a%2Fb/%41?x=%2F+y")
    assert server.seen[0].raw_path == "/a%2Fb/%41?x=%2F+y"
    assert server.seen[0].headers["Accept-Encoding"] == "identity"
