"""What differs among storages: some verify what is announced to them, some only repeat it, and some forget."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path

import pytest
from aiohttp import web

from asman_shared import limits
from asman_shared.errors import Misconfigured
from asman_shared.units import MIB
from tests.support.blob_hub import open_blob_hub, sha256
from tests.support.s3 import S3Server
from tests.support.s3_door import opened_door, refusal
from tests.support.weed import WeedServer

BODY = b"hello blob"
KEY = sha256(BODY)
CHECKSUM = "x-amz-checksum-sha256"


class Strict:
    """Refuses bytes which have another sha256 than was announced, as AWS does.

    Attributes:
        read: How many times the blob was read.
    """

    def __init__(self) -> None:
        self.read = 0

    async def __call__(self, request: web.Request, body: bytes) -> web.Response | None:
        announced = request.headers.get(CHECKSUM)
        if request.method == "PUT" and announced is not None:
            found = base64.b64encode(hashlib.sha256(body).digest()).decode()
            if found != announced:
                return refusal(400, "BadDigest", "other bytes")
        self.read += request.method == "GET" and KEY in request.path
        return None


async def test_a_storage_that_refuses_wrong_bytes_is_believed_and_nothing_is_read(s3: S3Server, tmp_path: Path) -> None:
    strict = Strict()
    async with (
        opened_door(s3, strict) as door,
        open_blob_hub(f"sqlite:///{tmp_path / 'db'}", tmp_path, door, bucket=s3.new_bucket()) as hub,
    ):
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


async def test_a_part_of_which_the_storage_keeps_two_versions_is_sent_again_from_the_beginning(
    weed: WeedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen at SeaweedFS, which lists a part that was sent again once more, and both in any order."""
    part = 5 * MIB  # the least that it takes
    monkeypatch.setattr(limits, "PART_BYTES", part)
    body, corrupted = os.urandom(part + 10), os.urandom(part)
    async with open_blob_hub(f"sqlite:///{tmp_path / 'db'}", tmp_path, weed, bucket=weed.new_bucket()) as hub:
        (ticket,) = await hub.ask(body)
        first, last = ticket.parts
        assert await hub.send_part(ticket, first, corrupted) == 200
        assert await hub.send_part(ticket, first, body) == 200
        assert await hub.send_part(ticket, last, body) == 200
        (ticket,) = await hub.ask(body)
        assert not (ticket.exists or ticket.pending or ticket.refused)
        assert [sent.number for sent in ticket.parts] == [1, 2]
        assert len(hub.blobs.quota.uploads) == 1
        await hub.upload(body)
        assert await hub.read(sha256(body)) == body


async def test_a_part_that_is_sent_twice_with_the_same_bytes_counts_once(
    weed: WeedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * MIB
    monkeypatch.setattr(limits, "PART_BYTES", part)
    body = os.urandom(part + 10)
    async with open_blob_hub(f"sqlite:///{tmp_path / 'db'}", tmp_path, weed, bucket=weed.new_bucket()) as hub:
        (ticket,) = await hub.ask(body)
        for sent in (*ticket.parts, ticket.parts[0]):
            assert await hub.send_part(ticket, sent, body) == 200
        assert (await hub.settled(sha256(body), len(body))).exists
        assert await hub.read(sha256(body)) == body


async def test_an_upload_that_its_storage_will_never_complete_is_told_to_who_waits_for_it(
    weed: WeedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PART_BYTES", 1000)  # which is less than it takes
    body = bytes(2500)
    async with open_blob_hub(f"sqlite:///{tmp_path / 'db'}", tmp_path, weed, bucket=weed.new_bucket()) as hub:
        (ticket,) = await hub.ask(body)
        await hub.send(ticket, body)
        with pytest.raises(Misconfigured, match="CompleteMultipartUpload") as caught:
            await hub.settled(sha256(body), len(body))
        assert not caught.value.retry
