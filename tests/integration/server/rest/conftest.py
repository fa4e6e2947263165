"""A real hub for each test, and somebody who asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from devtools.asman_processes import HubProcess
from tests.support.api import Api, opened_api


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    return await asyncio.to_thread(hub_process)


@pytest.fixture
async def api(hub: HubProcess) -> AsyncIterator[Api]:
    async with opened_api(hub.url) as opened:
        yield opened
