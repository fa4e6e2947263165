"""A real hub with a queue, and somebody who asks it with each of the queue's keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from devtools.asman_processes import HubProcess

from .doors import Doors, opened_doors


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    return await asyncio.to_thread(hub_process)


@pytest.fixture
async def doors(hub: HubProcess) -> AsyncIterator[Doors]:
    async with opened_doors(hub) as opened:
        yield opened
