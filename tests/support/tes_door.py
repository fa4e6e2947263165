"""A TES client that is nothing but HTTP: it sends what a test says, and shows what came."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from devtools.patience import PATIENCE

NEWER = "/ga4gh/tes/v1"
OLDER = "/v1"
OVER = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")


class TesDoor:
    """The TES addresses of a queue. Made by `tes_door`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(
        self, method: str, path: str, body: Any = None, *, at: str = NEWER, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Sends a request; returns the status and the JSON of the answer."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        stream = None if data is None else io.BytesIO(data)
        async with self.session.request(method, f"{self.url}{at}{path}", data=stream, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def create(self, task: Any, *, at: str = NEWER) -> str:
        """Creates a task; returns its id."""
        status, answer = await self.ask("POST", "/tasks", task, at=at)
        assert status == 200, answer
        assert list(answer) == ["id"]
        return str(answer["id"])

    async def refused(self, task: Any) -> str:
        """Creates a task that is refused; returns the sentence."""
        status, answer = await self.ask("POST", "/tasks", task)
        assert (status, answer["status_code"]) == (400, 400), answer
        return str(answer["msg"])

    async def get(self, task: str, view: str = "FULL", *, at: str = NEWER) -> dict[str, Any]:
        """Returns a task."""
        status, answer = await self.ask("GET", f"/tasks/{task}?view={view}", at=at)
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found

    async def over(self, task: str, view: str = "FULL") -> dict[str, Any]:
        """Waits for the end of a task and returns it."""
        async with asyncio.timeout(PATIENCE):
            while (await self.get(task, "MINIMAL"))["state"] not in OVER:
                await asyncio.sleep(0.05)
        return await self.get(task, view)

    async def until(self, task: str, state: str) -> None:
        """Waits until a task is in a state."""
        async with asyncio.timeout(PATIENCE):
            while (await self.get(task, "MINIMAL"))["state"] != state:
                await asyncio.sleep(0.05)

    async def bytes_at(self, url: str) -> bytes:
        """Returns the bytes at an address that the door has given."""
        async with self.session.get(url) as response:
            assert response.status == 200, url
            return await response.read()


@asynccontextmanager
async def tes_door(queue_url: str) -> AsyncIterator[TesDoor]:
    """The door of a queue."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=aiohttp.TCPConnector(limit=0, force_close=True)
    ) as session:
        yield TesDoor(session, queue_url)
