"""A proxy for http, as companies have them: it resolves names itself, and leads every name to one local port."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.streams import join

HEAD_BYTES = 64 * 1024


class HttpProxy:
    """A proxy that leads every name to one port of this machine.

    Attributes:
        asked: Method and target of each request, in order.
        status: An answer other than 0 is given to every request.
    """

    def __init__(self, leads_to: int, login: str = "") -> None:
        self.asked: list[tuple[str, str]] = []
        self.status = 0
        self.port = 0
        self._leads_to = leads_to
        self._login = b64encode(login.encode()).decode()

    @property
    def url(self) -> str:
        """Returns the address of the proxy, without a login."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            self.asked.append((method, target))
            status = self.status or (407 if self._login and f"Basic {self._login}" not in head else 0)
            if status:
                writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                return
            theirs, to = await asyncio.open_connection("127.0.0.1", self._leads_to, limit=HEAD_BYTES)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + target.split("/", 3)[3]
                lines = [line for line in head.split("\r\n")[1:] if not line.lower().startswith("connection:")]
                to.write("\r\n".join([f"{method} {path} HTTP/1.1", "Connection: close", *lines]).encode("latin-1"))
            await join(reader, writer, theirs, to)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def http_proxy(leads_to: int, login: str = "") -> AsyncIterator[HttpProxy]:
    """Runs a proxy while the block lasts.

    Args:
        leads_to: The port to which every name leads.
        login: ``NAME:PASSWORD`` that it wants; empty if it wants none.
    """
    proxy = HttpProxy(leads_to, login)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=HEAD_BYTES)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
