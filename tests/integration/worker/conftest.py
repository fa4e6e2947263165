from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from asman_shared.layered_settings import given
from asman_worker import WorkerConfig, load_config, run_worker
from devtools import asman_processes as processes
from devtools.engine import ROOT
from devtools.fake_hub import FakeHub, Line, fake_hub
from devtools.fork_server import Forked
from devtools.patience import PATIENCE
from tests.support.ordinary import Ordinary, owned


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with fake_hub() as made:
        yield made


class OthersConfig(WorkerConfig):
    """The settings of a worker that runs as an ordinary user, and so in a process of its own."""

    _user: Ordinary = PrivateAttr()
    _flags: dict[str, Any] = PrivateAttr()


def config_for(hub: FakeHub, data_dir: Path, **more: Any) -> WorkerConfig:
    """The settings of a worker, and with ``user``, an `Ordinary`, of one that runs as that user."""
    usual = {
        "queue": hub.url,
        "data_dir": data_dir,
        "name": "tester",
        "network": "none",
        "local_images": "asman-test/*",
    }
    flags = {**usual, **more}
    user = flags.pop("user", None)
    if user is None:
        return load_config(**flags)
    config = OthersConfig(**given(flags))
    config._user, config._flags = user, {**flags, "data_dir": str(owned(data_dir))}
    return config


@dataclass(frozen=True)
class OthersWorker:
    """The process of a worker of another user.

    Attributes:
        forked: The process.
        ended: Its exit code, once it has ended.
    """

    forked: Forked
    ended: asyncio.Task[int]


@asynccontextmanager
async def process_of_user(config: OthersConfig) -> AsyncIterator[OthersWorker]:
    """A worker as an ordinary user; stopped at once at the end."""
    server = processes.fork_server
    assert server is not None
    seen = [config.data_dir, ROOT, Path(sys.prefix), Path(sys.base_prefix), *map(Path, config.oci_image)]
    log = config.data_dir.parent / f"worker-of-{config.data_dir.name}.log"
    with config._user.worker(config._flags, seen) as words:
        forked = server.start(words, log, os.environ)
        ended = asyncio.create_task(asyncio.to_thread(forked.wait))
        try:
            yield OthersWorker(forked, ended)
        finally:
            for number, seconds in ((signal.SIGTERM, 0.05), (signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
                if not ended.done():
                    with suppress(ProcessLookupError):
                        os.kill(forked.pid, number)
                    await asyncio.wait((ended,), timeout=seconds)
            await ended
            print(log.read_text())


async def run_as_user(config: OthersConfig) -> int:
    """Runs a worker as an ordinary user; cancelling it stops the worker at once."""
    async with process_of_user(config) as process:
        code = await asyncio.shield(process.ended)
        assert code == 0, f"the worker of another user ended with code {code}"
        return code


@asynccontextmanager
async def worker(config: WorkerConfig) -> AsyncIterator[asyncio.Task[int]]:
    """A worker in this process, or in one of another user; stopped at once at the end."""
    if isinstance(config, OthersConfig):
        task = asyncio.create_task(run_as_user(config))
    else:
        task = asyncio.create_task(run_worker(config, stop=asyncio.Event()))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and not isinstance(config, OthersConfig):
            task.result()


async def first_line(hub: FakeHub, task: asyncio.Task[int]) -> Line:
    """The worker's next connection; fails at once with the worker's own error when it ends instead."""
    coming = asyncio.create_task(hub.line())
    await asyncio.wait((coming, task), return_when=asyncio.FIRST_COMPLETED)
    if not coming.done():
        coming.cancel()
        task.result()
    return await coming


WITHOUT_ENGINE: dict[str, dict[str, Any]] = {
    "oci": {"executor": "oci"},
    "oci, ordinary user": {"executor": "oci", "user": Ordinary(groups=True)},
    "oci, one id, no groups": {"executor": "oci", "user": Ordinary(ids=False)},
    "bubblewrap": {"executor": "bubblewrap", "user": Ordinary(ids=False)},
}
"""The settings of executors that run containers without an engine."""


@pytest.fixture(params=["docker", "oci", "oci, ordinary user", "bubblewrap"])
def means(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of each executor that runs containers."""
    return means_of(request.param, request)


def means_of(name: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Returns the settings of an executor, with an image."""
    if name == "docker":
        request.getfixturevalue("busybox_image")
        return {"executor": "docker"}
    return {**WITHOUT_ENGINE[name], "oci_image": str(request.getfixturevalue("busybox_archive"))}


@pytest.fixture
async def line(hub: FakeHub, tmp_path: Path, means: dict[str, Any]) -> AsyncIterator[Line]:
    """The connection of a registered worker that runs containers, with each executor."""
    async with worker(config_for(hub, tmp_path / "data", **means)) as task:
        made = await first_line(hub, task)
        await made.answer()
        yield made
