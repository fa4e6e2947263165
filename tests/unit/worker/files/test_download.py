"""Archives that jobs name: brought to disk whole, or not there at all with whose fault that is."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asman_shared.errors import ExecutionError
from asman_shared.transfer.address_guard import AddressGuard
from asman_worker.files.download import download

BODY = b"an archive"
HERE = AddressGuard(["127.0.0.1"])


@asynccontextmanager
async def serving(status: int = 200) -> AsyncIterator[str]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=BODY)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/a.tar"
    finally:
        await runner.cleanup()


async def test_an_archive_at_an_unknown_host_is_the_jobs_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    with pytest.raises(ExecutionError, match=r"there is no host named 'unknown\.example'") as caught:
        await download("http://unknown.example/a.tar", tmp_path / "a", AddressGuard(), most=10)
    assert caught.value.fault == "job"


async def test_an_archive_is_on_disk_with_the_hash_of_its_bytes(tmp_path: Path) -> None:
    async with serving() as url:
        assert await download(url, tmp_path / "a", HERE, most=len(BODY)) == hashlib.sha256(BODY).hexdigest()
    assert (tmp_path / "a").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_one_byte_more_than_may_be_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with serving() as url:
        with pytest.raises(ExecutionError, match="could not be fetched") as caught:
            await download(url, tmp_path / "a", HERE, most=len(BODY) - 1)
    assert caught.value.fault == "job"
    assert list(tmp_path.iterdir()) == []


async def test_one_that_is_not_there_is_the_jobs_fault(tmp_path: Path) -> None:
    async with serving(404) as url:
        with pytest.raises(ExecutionError) as caught:
            await download(url, tmp_path / "a", HERE, most=100)
    assert caught.value.fault == "job"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://h:port/x", "http://h:99999/x", "http://a..b/x", "http:///x"])
async def test_an_address_that_is_none_is_the_jobs_fault(tmp_path: Path, url: str) -> None:
    with pytest.raises(ExecutionError, match="is not an http address") as caught:
        await download(url, tmp_path / "a", HERE, most=100)
    assert caught.value.fault == "job"


async def test_a_host_that_the_operator_does_not_name_is_not_reached(tmp_path: Path) -> None:
    async with serving() as url:
        with pytest.raises(ExecutionError):
            await download(url, tmp_path / "a", AddressGuard(), most=100)
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_can_not_be_written_is_the_workers_fault(tmp_path: Path) -> None:
    async with serving() as url:
        with pytest.raises(ExecutionError, match="can't write the archive") as caught:
            await download(url, tmp_path / "no" / "folder" / "a", HERE, most=100)
    assert caught.value.fault == "worker"
