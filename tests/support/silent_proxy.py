"""A TCP proxy before a server that stops passing bytes on and closes nothing, as a network does that loses them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_CHUNK = 64 * 1024


class SilentProxy:
    """Open inside ``async with``; passes connections to a port of this machine.

    Args:
        port: The server's port.

    Attributes:
        port: Its own port.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self._links: list[dict[str, bool]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> SilentProxy:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    def swallow(self, *, questions: bool, answers: bool) -> None:
        """Drops what goes to the server, or comes from it, on all connections that are open now."""
        for link in self._links:
            link["questions"], link["answers"] = questions, answers

    async def _pass(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far_in, far_out = await asyncio.open_connection("127.0.0.1", self._to)
        link = {"questions": False, "answers": False}
        self._links.append(link)
        self._writers += [near_out, far_out]
        for kind, source, target in (("questions", near_in, far_out), ("answers", far_in, near_out)):
            task = asyncio.create_task(_carry(source, target, link, kind))
            self._tasks.add(task)


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, link: dict[str, bool], kind: str) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            if not link[kind]:
                target.write(data)
                await target.drain()
    if not any(link.values()):
        target.close()
