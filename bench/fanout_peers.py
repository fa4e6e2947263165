"""What a user would broadcast with instead: ``python -m bench.fanout_peers KIND`` serves one of them on a free port.

It prints the port, then sends a message to all who are connected for each line ``count size turns`` that it reads: so
many times, of so many bytes, which hold `TOKEN` once, and with a turn of the loop after each if ``turns`` is 1. All run
on uvloop, without compression and without pings.
This file imports nothing of Asman, for it also runs in the peers' own environment.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

TOKEN = b"<one-change>"
Broadcast = Callable[[bytes], Awaitable[None]]


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    listener.setblocking(False)
    return listener


async def _websockets(listener: socket.socket) -> Broadcast:
    """`websockets.broadcast`: each connection frames the message and writes it, without waiting for anybody."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    everybody: set[ServerConnection] = set()

    async def handler(connection: ServerConnection) -> None:
        everybody.add(connection)
        try:
            await connection.wait_closed()
        finally:
            everybody.discard(connection)

    serving = await serve(handler, sock=listener, compression=None, ping_interval=None)

    async def send(message: bytes) -> None:
        assert serving.is_serving()
        broadcast(everybody, message)

    return send


async def _starlette(listener: socket.socket) -> Broadcast:
    """A loop of ``await websocket.send_bytes(...)`` over all, with starlette on uvicorn."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    everybody: set[WebSocket] = set()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        everybody.add(websocket)
        try:
            await websocket.receive()
        finally:
            everybody.discard(websocket)

    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[WebSocketRoute("/", endpoint)]),
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            log_level="error",
        )
    )
    serving = asyncio.get_running_loop().create_task(server.serve([listener]))

    async def send(message: bytes) -> None:
        assert not serving.done()
        for websocket in list(everybody):
            await websocket.send_bytes(message)

    return send


async def _picows(listener: socket.socket) -> Broadcast:
    """A loop of ``transport.send`` over all with picows, whose protocol and transport are compiled."""
    import picows

    everybody: dict[Any, None] = {}

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: Any) -> None:
            everybody[transport] = None

        def on_ws_disconnected(self, transport: Any) -> None:
            everybody.pop(transport, None)

    serving = await picows.ws_create_server(lambda _request: Listener(), sock=listener)

    async def send(message: bytes) -> None:
        assert serving.is_serving()
        binary = picows.WSMsgType.BINARY
        for transport in everybody:
            transport.send(binary, message)

    return send


KINDS = {"websockets": _websockets, "starlette": _starlette, "picows": _picows}


async def _main(kind: str) -> None:
    listener = _listener()
    send = await KINDS[kind](listener)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print(listener.getsockname()[1], flush=True)
    while order := await orders.readline():
        count, size, turns = map(int, order.split())
        message = TOKEN + b"x" * (size - len(TOKEN))
        for _ in range(count):
            await send(message)
            if turns:
                await asyncio.sleep(0)


if __name__ == "__main__":
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_main(sys.argv[1]))
