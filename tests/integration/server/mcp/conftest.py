"""A real hub, with a worker that runs processes where a test wants one, and its MCP door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from devtools.asman_processes import AsmanProcess, AsmanProcesses, HubProcess
from tests.support.mcp_door import Door, opened_door

QUEUE = "door-0f3a9c7be2d14856"


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    return await asyncio.to_thread(hub_process)


@pytest.fixture
async def door(hub: HubProcess) -> AsyncIterator[Door]:
    async with opened_door(hub.queue(QUEUE)) as opened:
        yield opened


@pytest.fixture
async def worker(hub: HubProcess, processes: AsmanProcesses, tmp_path: Path) -> AsmanProcess:
    """A worker that runs each job as a process, whatever image it names."""
    options = ("--executor", "process", "--ignore-images", "--cpus", "8", "--drain-timeout", "0.1s")
    return await asyncio.to_thread(processes.worker, hub.queue(QUEUE), *options, "--data-dir", str(tmp_path / "worker"))
