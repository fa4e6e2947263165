"""A web server that receives webhooks: it keeps what came and answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from devtools.patience import PATIENCE
from devtools.ports import free_port


@dataclass
class Delivery:
    """One request that came."""

    path: str
    body: bytes
    headers: dict[str, str]
    json: Any = None


Answer = Callable[[Delivery], Awaitable[web.Response]]


@dataclass
class Receiver:
    """A web server that receives webhooks: it keeps what came and answers as the test says.

    ``answer`` may be replaced at any time.
    """

    port: int
    answer: Answer
    came: list[Delivery] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        delivery = Delivery(request.path_qs, body, {k.lower(): v for k, v in request.headers.items()})
        if body:
            delivery.json = await request.json()
        async with self.news:
            self.came.append(delivery)
            self.news.notify_all()
        return await self.answer(delivery)

    async def wait_for(self, enough: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """Waits until what came is enough."""
        async with asyncio.timeout(PATIENCE), self.news:
            await self.news.wait_for(lambda: enough(self.came))
            return list(self.came)


async def take(_delivery: Delivery) -> web.Response:
    return web.Response(text="thank you")


@asynccontextmanager
async def receiver(port: int | None = None, answer: Answer = take) -> AsyncIterator[Receiver]:
    """A receiver that listens on loopback while the block lasts."""
    made = Receiver(port or free_port(), answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", made.port, reuse_address=True).start()
        yield made
    finally:
        await runner.cleanup()
