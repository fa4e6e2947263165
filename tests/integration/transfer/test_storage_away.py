"""A storage that goes away for a while in the middle of a transfer ends neither ``blob put`` nor ``blob get``."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from asman_shared import limits
from devtools.asman_processes import HubProcess, asman_command, clean_environment
from tests.support.blob_hub import sha256
from tests.support.s3 import S3Server
from tests.support.s3_door import opened_door, refusal

PATIENCE = 120
BODY = os.urandom(3_000_000)
KEY = sha256(BODY)
REST = 1_000_000
"""Size of the last of two parts of an upload, in bytes."""
MORE_THAN_ITS_TRIES = 9
"""Failures in a row that were once the end of a transfer, and one more."""


class GoesAway:
    """A storage that breaks off the first download in the middle, and then refuses a number of requests for it."""

    def __init__(self) -> None:
        self.left = MORE_THAN_ITS_TRIES
        self.broken = False
        self.ranges: list[str] = []

    async def __call__(self, request: web.Request, _body: bytes) -> web.StreamResponse | None:
        if request.method != "GET" or KEY not in request.path or "response-content-type" not in request.query:
            return None
        self.ranges.append(request.headers.get("Range", ""))
        if not self.broken:
            self.broken = True
            answer = web.StreamResponse(headers={"Content-Length": str(len(BODY)), "ETag": '"tag"'})
            await answer.prepare(request)
            await answer.write(BODY[:2_000_000])
            assert request.transport is not None
            request.transport.close()
            return answer
        if self.left:
            self.left -= 1
            return refusal(503, "ServiceUnavailable", "the storage is away")
        return None


class AwayForPuts:
    """A storage that keeps the first part of an upload, and then goes away for the rest of it for a while.

    Attributes:
        kept: The numbers of the parts that reached the storage, in that order.
    """

    def __init__(self) -> None:
        self.left = MORE_THAN_ITS_TRIES
        self.kept: list[str] = []
        self._first = asyncio.Event()

    async def __call__(self, request: web.Request, body: bytes) -> web.StreamResponse | None:
        number = request.query.get("partNumber", "")
        if request.method != "PUT" or not number or len(body) < REST:
            return None  # also what the hub sends at its start, to try the bucket out
        if number != "1":
            async with asyncio.timeout(PATIENCE):
                await self._first.wait()
            if self.left:
                self.left -= 1
                if self.left % 2:
                    assert request.transport is not None
                    request.transport.close()
                return refusal(503, "ServiceUnavailable", "the storage is away")
        self.kept.append(number)
        self._first.set()
        return None


def asman(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*asman_command(), *words],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=PATIENCE,
        check=False,
    )


async def test_a_download_outlives_its_storage_and_goes_on_where_it_was(
    s3: S3Server, hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    away = GoesAway()
    (tmp_path / "file").write_bytes(BODY)
    async with opened_door(s3, away) as door:
        environment = {**s3.environment, "ASMAN_S3_ENDPOINT": door.url}
        address = f"s3://{s3.new_bucket()}/p"
        hub = await asyncio.to_thread(lambda: hub_process("--blobs", address, environment=environment))
        put = await asyncio.to_thread(asman, "blob", "put", hub.queue("q"), str(tmp_path / "file"))
        assert put.returncode == 0, put.stderr
        got = await asyncio.to_thread(asman, "blob", "get", hub.queue("q"), KEY, "-o", str(tmp_path / "again"))
        assert got.returncode == 0, got.stderr
    assert (tmp_path / "again").read_bytes() == BODY
    assert away.left == 0
    assert int(away.ranges[-1].removeprefix("bytes=").rstrip("-")) > 1_000_000


async def test_an_upload_outlives_its_storage_and_sends_only_the_parts_that_are_missing(
    s3: S3Server, hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    away = AwayForPuts()
    body = os.urandom(limits.PART_BYTES + REST)
    (tmp_path / "file").write_bytes(body)
    async with opened_door(s3, away) as door:
        environment = {**s3.environment, "ASMAN_S3_ENDPOINT": door.url}
        address = f"s3://{s3.new_bucket()}/p"
        hub = await asyncio.to_thread(lambda: hub_process("--blobs", address, environment=environment))
        put = await asyncio.to_thread(asman, "blob", "put", hub.queue("q"), str(tmp_path / "file"))
        assert put.returncode == 0, put.stderr
        assert sha256(body) in put.stdout
        assert away.left == 0
        assert away.kept == ["1", "2"]
        got = await asyncio.to_thread(asman, "blob", "get", hub.queue("q"), sha256(body), "-o", str(tmp_path / "again"))
        assert got.returncode == 0, got.stderr
    assert (tmp_path / "again").read_bytes() == body
