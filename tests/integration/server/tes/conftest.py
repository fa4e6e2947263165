"""A real hub and its TES door, with a worker that runs containers where a test wants one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from devtools.asman_processes import AsmanProcess, AsmanProcesses, HubProcess
from devtools.engine import Engine
from tests.support.engine import engine_for_session
from tests.support.tes_door import TesDoor, tes_door

QUEUE = "tasks-5d0c1f7be2a94e8c"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A container engine; in the folder above, the name is a database's."""
    yield from engine_for_session()


@pytest.fixture
async def hub(hub_process: Callable[..., HubProcess]) -> HubProcess:
    return await asyncio.to_thread(hub_process)


@pytest.fixture
async def door(hub: HubProcess) -> AsyncIterator[TesDoor]:
    async with tes_door(hub.queue(QUEUE)) as opened:
        yield opened


@pytest.fixture
async def worker(
    hub: HubProcess, processes: AsmanProcesses, engine: Engine, busybox_image: str, tmp_path: Path
) -> AsmanProcess:
    """A worker that runs containers."""
    own = ["--data-dir", str(tmp_path / "worker"), "--local-images", busybox_image, "--cpus", "4"]
    return await asyncio.to_thread(processes.worker, hub.queue(QUEUE), *own, environment={"DOCKER_HOST": engine.host})
