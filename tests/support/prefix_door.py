"""A proxy that serves a port of this machine below a path, as a proxy with one host for many services does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.streams import join


@asynccontextmanager
async def prefix_door(leads_to: int, prefix: str) -> AsyncIterator[str]:
    """Runs the proxy while the block lasts, and yields its URL with the path.

    It takes the path off each request, and answers 404 to others. One connection has one request, or one websocket.

    Args:
        leads_to: The port behind the proxy, at ``127.0.0.1``.
        prefix: The path, such as ``/team/asman``.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, rest = head.split(b" ", 2)
            if not path.startswith(prefix.encode() + b"/"):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                writer.close()
                return
            if b"\r\nupgrade:" not in rest.lower():
                rest = rest.replace(b"\r\nConnection: keep-alive", b"")
                rest = rest.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            theirs, to = await asyncio.open_connection("127.0.0.1", leads_to)
            to.write(b" ".join([method, path[len(prefix) :], rest]))
            await join(reader, writer, theirs, to)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{prefix}"
    finally:
        server.close()
