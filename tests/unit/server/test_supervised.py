"""No task of the hub ends unnoticed: the hub says so, ends, and leaves the rest to whoever starts it again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from asman_server.blobs import Collector
from asman_server.blobs.s3 import S3Store
from asman_server.config import HubConfig
from asman_server.main import HubServer, serve
from asman_server.storage.group_commit import GroupCommitter
from asman_shared.running.supervisor import TASK_FAILED
from devtools.patience import PATIENCE


async def test_a_hub_whose_task_failed_is_unhealthy_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()

    async def breaks(_self: Collector) -> None:
        await go.wait()
        raise RuntimeError("a bug")

    monkeypatch.setattr(Collector, "run", breaks)
    server = HubServer(HubConfig(data_dir=tmp_path, port=0, local_port=0))
    await server.start()
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(server.address) as client:
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        go.set()
        await server.wait()
        async with client.get("/healthz") as answer:
            assert (answer.status, "'blob collection' has ended" in await answer.text()) == (500, True)
    await server.stop()


async def test_a_hub_whose_writer_died_ends_with_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(_self: GroupCommitter) -> None:
        await asyncio.sleep(0.01)
        raise OverflowError("a row that no database takes")

    monkeypatch.setattr(GroupCommitter, "run", dies)
    async with asyncio.timeout(PATIENCE):
        code = await serve(HubConfig(data_dir=tmp_path, port=0, local_port=0), asyncio.Event())
    assert code == TASK_FAILED


async def test_a_hub_whose_look_at_its_bucket_fails_ends_with_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_self: S3Store) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(S3Store, "examine", breaks)
    bucket = {"blobs": "s3://any", "s3_endpoint": "http://127.0.0.1:9", "s3_access_key": "a", "s3_secret_key": "b"}
    config = HubConfig.model_validate({"data_dir": tmp_path, "port": 0, "local_port": 0, **bucket})
    async with asyncio.timeout(PATIENCE):
        assert await serve(config, asyncio.Event()) == TASK_FAILED


async def test_a_hub_that_is_told_to_end_ends_with_0(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(PATIENCE):
        assert await serve(HubConfig(data_dir=tmp_path, port=0, local_port=0), stop, lambda _address: stop.set()) == 0
