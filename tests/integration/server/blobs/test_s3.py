"""What differs among storages: some verify what is announced to them, some only repeat it, and some forget."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from asman_server.blobs import S3Settings
from asman_shared import limits
from tests.support.blob_hub import open_blob_hub, sha256
from tests.support.s3 import S3Server

BODY = b"hello blob"
KEY = sha256(BODY)
CHECKSUM = "x-amz-checksum-sha256"


class StrictS3:
    """The real server behind a door that refuses bytes which have another sha256 than was announced, as AWS does.

    Attributes:
        read: How many objects were read.
    """

    def __init__(self, behind: S3Server) -> None:
        self.behind = behind
        self.url = ""
        self.read = 0

    def settings(self, bucket: str, prefix: str = "some/prefix") -> S3Settings:
        made = self.behind.settings(bucket, prefix)
        return S3Settings(
            made.bucket, made.prefix, self.url, access_key=made.access_key, secret_key=made.secret_key, path_style=True
        )

    async def pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        announced = request.headers.get(CHECKSUM)
        if request.method == "PUT" and announced is not None:
            found = base64.b64encode(hashlib.sha256(body).digest()).decode()
            if found != announced:
                said = "<Error><Code>BadDigest</Code><Message>other bytes</Message></Error>"
                return web.Response(status=400, text=said, content_type="application/xml")
        self.read += request.method == "GET" and KEY in request.path
        url = self.behind.url + request.raw_path
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, URL(url, encoded=True), data=body, headers=request.headers) as a,
        ):
            headers = {k: v for k, v in a.headers.items() if k.lower() not in ("transfer-encoding", "date", "server")}
            return web.Response(status=a.status, body=await a.read(), headers=headers)


@pytest.fixture
async def strict(s3: S3Server) -> AsyncIterator[StrictS3]:
    made = StrictS3(s3)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.pass_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_a_storage_that_refuses_wrong_bytes_is_believed_and_nothing_is_read(
    strict: StrictS3, tmp_path: Path
) -> None:
    bucket = strict.behind.new_bucket()
    async with open_blob_hub(f"sqlite:///{tmp_path / 'db'}", tmp_path, strict, bucket=bucket) as hub:
        (ticket,) = await hub.ask(BODY)
        assert await hub.send(ticket, b"hello blub") == 400
        (ticket,) = await hub.ask(BODY)
        assert not ticket.exists
        await hub.upload(BODY)
        assert strict.read == 0
        assert await hub.read(KEY) == BODY
        assert strict.read == 1


async def test_an_upload_that_its_storage_has_forgotten_begins_again(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PART_BYTES", 1000)
    body = bytes(2500)
    async with open_blob_hub(f"sqlite:///{tmp_path / 'db'}", tmp_path, s3, bucket=s3.new_bucket()) as hub:
        (ticket,) = await hub.ask(body)
        assert await hub.send_part(ticket, ticket.parts[0], body) == 200
        (ticket,) = await hub.ask(body)
        assert [part.number for part in ticket.parts] == [2, 3]
        await asyncio.to_thread(s3.kill)
        await asyncio.to_thread(s3.start)
        (ticket,) = await hub.ask(body)
        assert [part.number for part in ticket.parts] == [1, 2, 3]
        assert len(hub.blobs.quota.uploads) == 1
        await hub.upload(body)
        assert await hub.read(sha256(body)) == body


async def test_a_storage_that_repeats_what_was_announced_is_not_believed(s3: S3Server, tmp_path: Path) -> None:
    async with open_blob_hub(f"sqlite:///{tmp_path / 'db'}", tmp_path, s3, bucket=s3.new_bucket()) as hub:
        (ticket,) = await hub.ask(BODY)
        assert await hub.send(ticket, b"hello blub") == 200
        assert "nothing was kept" in (await hub.settled(KEY, len(BODY))).refused
        assert await hub.read(KEY) is None
