"""A hub that a test feeds with all sorts of things, and that must be well afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from devtools.asman_processes import HubProcess


@asynccontextmanager
async def unharmed(hub_process: Callable[..., HubProcess], *options: str) -> AsyncIterator[HubProcess]:
    """Starts a hub, which must be well, must have logged no traceback and must take a job in the end."""
    started = await asyncio.to_thread(hub_process, *options)
    yield started
    async with aiohttp.ClientSession(started.url) as session:
        async with session.get("/healthz") as answer:
            assert answer.status == 200, await answer.text()
        async with session.post("/q/afterwards/jobs", json={"definition": {"image": "a"}}) as answer:
            assert answer.status == 201, await answer.text()
    assert "Traceback" not in started.output(), started.tail()


def of_database(request: pytest.FixtureRequest) -> list[str]:
    """The options of a hub on the database that a fixture's parameter names: ``sqlite`` or ``postgres``."""
    if request.param == "sqlite":
        return []
    return ["--database-url", request.getfixturevalue("postgres").new_database()]
