"""Each way in which a hub can't be reached has its own sentence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

import asman
from asman_shared import limits
from asman_shared import messages as m
from asman_shared.codec import encode
from asman_shared.errors import AsmanError, CloseCode, ConnectionFailed, Forbidden, ProtocolError
from asman_shared.link.dial import explain

from .fake_hub import FakeHub

PATIENCE = 30
"""Time limit of a call that must not hang, in seconds."""
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def reason(url: str, *, timeout: float = 20) -> AsmanError:
    with pytest.raises(AsmanError) as caught:
        async with asman.connect(url, timeout=timeout, reconnect=0.2):
            pass
    assert "\n" not in caught.value.message
    return caught.value


async def against_tcp(handler: Handler, *, scheme: str = "http", timeout: float = 20) -> AsmanError:
    ended = asyncio.Event()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            ended.set()

    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        found = await reason(f"{scheme}://127.0.0.1:{port}/q/x", timeout=timeout)
        await ended.wait()
    return found


async def against_websocket(
    visit: Callable[[ServerConnection], Awaitable[None]], *, subprotocol: str = limits.SUBPROTOCOL_MSGPACK
) -> AsmanError:
    async with serve(visit, "127.0.0.1", 0, subprotocols=[Subprotocol(subprotocol)]) as server:
        return await reason(f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/q/x")


async def test_nothing_listens(hub: FakeHub) -> None:
    await hub.stop()
    error = await reason(hub.url)
    assert isinstance(error, ConnectionFailed)
    assert error.message == f"nothing listens at 127.0.0.1:{hub.port}: is the hub running?"


async def test_nothing_listens_on_either_kind_of_address() -> None:
    error = OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] Connect call failed")
    address = asman.Address("http://localhost:1", "x")
    assert "nothing listens at localhost:1" in explain(error, address, 1).args[0]


async def test_no_such_host() -> None:
    error = await reason("http://no-such-host.invalid:1234/q/x")
    assert error.message == "there is no host named 'no-such-host.invalid': check the queue's address"


async def test_a_web_server_that_is_no_hub() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    error = await against_tcp(web)
    assert "answered with HTTP status 404: is it an Asman hub" in error.message


async def test_a_door_with_no_hub_behind_it() -> None:
    async def balancer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    assert "closed the connection before it answered" in (await against_tcp(balancer)).message


async def test_something_that_is_no_web_server() -> None:
    async def mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ready\r\n")
        await reader.readuntil(b"\r\n\r\n")

    assert "is not an Asman hub" in (await against_tcp(mail)).message


async def test_tls_where_there_is_none() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    error = await against_tcp(plain, scheme="https")
    assert "no secure connection to" in error.message


async def test_a_host_that_does_not_answer() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    assert "within 0.1 seconds" in (await against_tcp(silent, timeout=0.1)).message


async def test_another_subprotocol() -> None:
    async def visit(ws: ServerConnection) -> None:
        await ws.wait_closed()

    error = await against_websocket(visit, subprotocol="other.v9")
    assert isinstance(error, ConnectionFailed)
    assert "does not speak asman.v1.msgpack" in error.message or "HTTP status 400" in error.message


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (CloseCode.BAD_QUEUE, ProtocolError, "a queue name has"),
        (CloseCode.VERSION, ProtocolError, "version"),
        (CloseCode.OVERLOADED, ConnectionFailed, "too many connections"),
        (3999, ConnectionFailed, "code 3999"),
    ],
)
async def test_a_hub_that_closes_says_why(code: int, kind: type[AsmanError], words: str) -> None:
    async def visit(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.close(code)

    error = await against_websocket(visit)
    assert isinstance(error, kind)
    assert words in error.message


async def test_a_hub_that_answers_hello_with_an_error() -> None:
    async def visit(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(encode([m.Error("forbidden", "this key does not allow it")]))
        await ws.wait_closed()

    assert isinstance(await against_websocket(visit), Forbidden)


@pytest.mark.parametrize("first", ["text", encode([m.Pong()]), encode([]), b"\xc1"])
async def test_a_hub_that_does_not_begin_with_a_welcome(first: str | bytes) -> None:
    async def visit(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(first)
        await ws.wait_closed()

    assert isinstance(await against_websocket(visit), AsmanError)


async def test_the_connection_says_who_it_is(hub: FakeHub) -> None:
    async with asman.connect(hub.url):
        (hello,) = await hub.saw(m.Hello)
    assert hello == m.Hello(agent=f"asman-python/{asman.__version__}", follow="jobs", resume=None)


async def test_a_call_on_a_queue_that_is_not_open_says_how_to_open_it(hub: FakeHub) -> None:
    queue = asman.connect(hub.url)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: queue.submit(command="x"),
        lambda: queue.get("a" * 64),
        lambda: queue.workers(),
        lambda: queue.configure(),
        lambda: queue.validate(command="x"),
        lambda: queue.put_blob(b"x"),
        lambda: queue.get_blob("a" * 64),
        lambda: anext(aiter(queue.jobs())),
        lambda: anext(aiter(queue.submit_many([{"command": "x"}]))),
    ]
    for call in calls:
        with pytest.raises(ConnectionFailed, match=r"not open: use 'async with asman\.connect"):
            await asyncio.wait_for(call(), PATIENCE)
    await queue.open()
    job = await queue.submit(command="x")
    await queue.close()
    for call in [*calls, job.wait, job.cancel, queue.open]:
        with pytest.raises(ConnectionFailed, match="was closed"):
            await asyncio.wait_for(call(), PATIENCE)


async def test_opening_twice_makes_one_connection_and_a_failure_can_be_tried_again(hub: FakeHub) -> None:
    queue = asman.connect(hub.url)
    address = hub.url
    await asyncio.gather(queue.open(), queue.open())
    await queue.open()
    assert (await queue.submit(command="x")).answer == "queued"
    await queue.close()
    await hub.stop()
    away = asman.connect(address)
    for _ in range(2):
        with pytest.raises(ConnectionFailed):
            await away.open()
    with pytest.raises(ConnectionFailed, match="not open"):
        await away.submit(command="x")
    await away.close()
