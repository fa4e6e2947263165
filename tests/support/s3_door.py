"""A door in front of a real S3 server, at which a test changes what a storage answers."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from asman_server.blobs import S3Settings

from .s3 import S3Server

Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse | None]]


class S3Door:
    """A door in front of a real S3 server; made by `opened_door`."""

    def __init__(self, behind: S3Server, answer: Answer) -> None:
        self.behind = behind
        self.url = ""
        self._answer = answer
        self._transports: set[asyncio.Transport] = set()

    def settings(self, bucket: str, prefix: str = "some/prefix") -> S3Settings:
        made = self.behind.settings(bucket, prefix)
        return S3Settings(
            made.bucket, made.prefix, self.url, access_key=made.access_key, secret_key=made.secret_key, path_style=True
        )

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answers a request itself if the test wants that, and hands it on otherwise."""
        if request.transport is not None:
            self._transports.add(request.transport)
        body = await request.read()
        answered = await self._answer(request, body)
        return answered if answered is not None else await self.pass_on(request, body)

    async def cut_off(self) -> None:
        """Ends all connections, also those whose peer takes no more of what was written before they were closed."""
        for transport in self._transports:
            transport.abort()
        await asyncio.sleep(0)

    async def pass_on(self, request: web.Request, body: bytes) -> web.Response:
        """What the server behind the door answers."""
        url = self.behind.url + request.raw_path
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, URL(url, encoded=True), data=io.BytesIO(body), headers=request.headers
            ) as a,
        ):
            headers = {k: v for k, v in a.headers.items() if k.lower() not in ("transfer-encoding", "date", "server")}
            return web.Response(status=a.status, body=await a.read(), headers=headers)


def refusal(status: int, code: str, message: str = "") -> web.Response:
    """An error as S3 writes it."""
    said = f"<Error><Code>{code}</Code><Message>{message or code}</Message></Error>"
    return web.Response(status=status, text=said, content_type="application/xml")


@asynccontextmanager
async def opened_door(behind: S3Server, answer: Answer) -> AsyncIterator[S3Door]:
    """A door that asks ``answer`` first, which returns None for what the server behind shall answer."""
    made = S3Door(behind, answer)
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", made.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
        await made.cut_off()
