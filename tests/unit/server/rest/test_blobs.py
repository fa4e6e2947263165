"""Blobs over HTTP, by signed addresses and by name, from a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.blob_hub import BlobHub, open_blob_hub, sha256

BODY = b"hello blob"
KEY = sha256(BODY)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[BlobHub]:
    async with open_blob_hub(f"sqlite:///{tmp_path / 'hub.sqlite'}", tmp_path / "blobs") as opened:
        yield opened


async def test_a_signed_address_is_good_for_its_blob_its_method_and_nothing_else(hub: BlobHub) -> None:
    (ticket,) = await hub.ask(BODY)
    query = urlsplit(ticket.url).query
    assert (await hub.get(ticket.url))[0] == 403
    assert await hub.put(f"/b/{sha256(b'other')}?{query}", b"other") == 403
    assert await hub.put(f"/b/{KEY}", BODY) == 403
    assert await hub.put(f"/b/{KEY.upper()}?{query}", BODY) == 400
    assert await hub.put(ticket.url, b"hello blub") == 422
    assert await hub.put(ticket.url, BODY) == 201
    assert await hub.read(KEY) == BODY


async def test_a_range_of_a_blob_is_read_by_its_address(hub: BlobHub) -> None:
    await hub.upload(BODY)
    (link,) = await hub.blobs.links("q", [KEY])
    for wanted, body in (("bytes=0-3", b"hell"), ("bytes=-4", b"blob"), ("bytes=6-", b"blob")):
        assert await hub.get(link.url, headers={"Range": wanted}) == (206, body)
    assert (await hub.get(link.url, headers={"Range": "bytes=99-"}))[0] == 416


async def test_files_are_shown_under_their_name_and_run_nothing(hub: BlobHub) -> None:
    assert await hub.put("/f/p%20age.html", b"<script>") == 201
    async with hub.http.get(f"{hub.url}/f/p%20age.html") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''p%20age.html"
        assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("tags", "status"),
    [(f'"{KEY}"', 304), (f'W/"{KEY}"', 304), (f'"x", "{KEY}"', 304), (f'"{"0" * 64}"', 200), (KEY, 200), ("", 200)],
)
async def test_what_a_cache_has_is_not_sent_again(hub: BlobHub, tags: str, status: int) -> None:
    await hub.put(f"/f/{KEY}.txt", BODY)
    assert (await hub.get(f"/f/{KEY}.txt", headers={"If-None-Match": tags}))[0] == status


async def test_a_file_says_its_size_before_it_comes(hub: BlobHub) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield BODY

    assert await hub.put("/f/a.txt", stream()) == 400
    assert (await hub.get("/f/a.txt/exists")) == (404, b'{"exists":false}')
    assert await hub.put("/f/a.txt", BODY) == 201
    assert (await hub.get("/f/a.txt/exists")) == (200, b'{"exists":true}')


async def test_a_name_that_is_a_sha256_is_verified_and_may_be_sent_again(hub: BlobHub) -> None:
    assert await hub.put(f"/f/{KEY}.txt", b"hello blub") == 422
    assert (await hub.get(f"/f/{KEY}.txt"))[0] == 404
    for _ in range(2):
        assert await hub.put(f"/f/{KEY}.txt", BODY) == 201
    assert await hub.get(f"/f/{KEY}") == (200, BODY)
