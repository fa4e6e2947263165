from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asman_worker import WorkerConfig, load_config, run_worker
from devtools.fake_hub import FakeHub, Line, fake_hub


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with fake_hub() as made:
        yield made


def config_for(hub: FakeHub, data_dir: Path, **more: Any) -> WorkerConfig:
    usual = {
        "queue": hub.url,
        "data_dir": data_dir,
        "name": "tester",
        "network": "none",
        "local_images": "asman-test/*",
    }
    return load_config(**{**usual, **more})


@asynccontextmanager
async def worker(config: WorkerConfig) -> AsyncIterator[asyncio.Task[int]]:
    """A worker in this process; stopped at once at the end."""
    task = asyncio.create_task(run_worker(config, stop=asyncio.Event()))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


async def first_line(hub: FakeHub, task: asyncio.Task[int]) -> Line:
    """The worker's next connection; fails at once with the worker's own error when it ends instead."""
    coming = asyncio.create_task(hub.line())
    await asyncio.wait((coming, task), return_when=asyncio.FIRST_COMPLETED)
    if not coming.done():
        coming.cancel()
        task.result()
    return await coming


@pytest.fixture
async def line(hub: FakeHub, tmp_path: Path, busybox_image: str) -> AsyncIterator[Line]:
    """The connection of a registered worker that runs containers."""
    async with worker(config_for(hub, tmp_path / "data")) as task:
        made = await first_line(hub, task)
        await made.answer()
        yield made
