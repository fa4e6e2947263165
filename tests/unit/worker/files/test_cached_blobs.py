"""Downloads through the worker's cache: what was here before is not brought again, and nothing else is kept."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asman_shared.address import parse_address
from asman_shared.errors import AsmanError
from asman_worker.files.blobs import Blobs
from asman_worker.files.cache import FileCache
from asman_worker.files.cached_blobs import CachedBlobs
from devtools.fake_hub import FakeHub
from tests.unit.worker.attempts.test_staging import Locator

BODY = b"hello blob"
KEY = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are really read; what is there is `BODY`."""
    read: list[str] = []

    async def fetch(_self: Blobs, url: str, to: Path, **_more: Any) -> int:
        read.append(url)
        to.write_bytes(BODY)
        return len(BODY)

    monkeypatch.setattr(Blobs, "fetch", fetch)
    return read


@pytest.fixture
async def blobs(hub: FakeHub, tmp_path: Path) -> AsyncIterator[CachedBlobs]:
    cache = FileCache(tmp_path / "cache", most=1_000_000)
    made = CachedBlobs(Locator(hub), parse_address(hub.url), cache)
    yield made
    await made.close()


async def test_a_blob_is_brought_once_and_each_copy_is_its_own(
    blobs: CachedBlobs, brought: list[str], tmp_path: Path
) -> None:
    moved: list[int] = []
    for name in ("a", "b"):
        assert await blobs.fetch("/b/x", tmp_path / name, sha256=KEY, most=100, progress=moved.append) == len(BODY)
    (tmp_path / "a").write_bytes(b"changed")
    assert await blobs.fetch("/b/x", tmp_path / "c", sha256=KEY, most=100) == len(BODY)
    assert (tmp_path / "c").read_bytes() == BODY
    assert len(brought) == 1
    assert moved == [len(BODY)], "what is copied counts as moved"


async def test_what_has_no_name_of_its_own_is_brought_each_time(
    blobs: CachedBlobs, brought: list[str], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        await blobs.fetch("https://example.org/x", tmp_path / name, most=100)
    assert len(brought) == 2


async def test_one_that_is_too_large_for_the_job_is_left_to_the_download_to_refuse(
    blobs: CachedBlobs, brought: list[str], tmp_path: Path
) -> None:
    await blobs.fetch("/b/x", tmp_path / "a", sha256=KEY, most=len(BODY))
    await blobs.fetch("/b/x", tmp_path / "b", sha256=KEY, most=len(BODY))
    assert len(brought) == 1
    await blobs.fetch("/b/x", tmp_path / "c", sha256=KEY, most=len(BODY) - 1)
    assert len(brought) == 2


async def test_a_blob_that_the_hub_does_not_have_is_not_found(blobs: CachedBlobs, tmp_path: Path) -> None:
    with pytest.raises(AsmanError):
        await blobs.links([KEY])
