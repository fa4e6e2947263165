"""The catalogue of blobs: what is stored, on its way and unused, in pages that skip nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_server.blobs import Catalogue
from asman_server.blobs import catalogue as catalogue_module
from asman_server.storage.blob_changes import BlobRow, FileRow, NameFile, OpenUpload, StoreBlob, UploadRow
from tests.support.blob_hub import open_blob_hub


def key(number: int) -> str:
    return f"{number:064x}"


def blob(number: int, used: int = 0) -> BlobRow:
    return BlobRow(sha256=key(number), size=number, place=f"p{number}", created=0, used=used)


def upload(number: int, queue: str = "q", touched: int = 0) -> UploadRow:
    return UploadRow(
        queue=queue, sha256=key(number), size=1, place=f"u{number}{queue}", store_id="", created=0, touched=touched
    )


@pytest.fixture
async def catalogue(tmp_path: Path) -> AsyncIterator[Catalogue]:
    async with open_blob_hub(f"sqlite:///{tmp_path / 'hub.sqlite'}", tmp_path / "blobs") as hub:
        yield hub.blobs.catalogue


async def test_of_many_blobs_the_stored_ones_are_found(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_module, "IN_LIST", 3)
    await catalogue.write(*(StoreBlob(blob(number)) for number in range(0, 10, 2)))
    found = await catalogue.stored([key(number) for number in range(10)])
    assert found == {key(number): blob(number) for number in range(0, 10, 2)}
    assert await catalogue.stored([]) == {}


async def test_uploads_are_those_of_the_queues_that_are_asked_about(catalogue: Catalogue) -> None:
    await catalogue.write(OpenUpload(upload(1)), OpenUpload(upload(1, "other")), OpenUpload(upload(2)))
    assert await catalogue.uploads(["q"], [key(1)]) == [upload(1)]
    assert len(await catalogue.uploads(None, [key(1), key(2)])) == 3
    assert await catalogue.uploads([], [key(1)]) == []


async def test_blobs_and_their_bytes_are_counted(catalogue: Catalogue) -> None:
    assert await catalogue.totals() == (0, 0)
    await catalogue.write(StoreBlob(blob(3)), StoreBlob(blob(4)))
    assert await catalogue.totals() == (2, 7)


async def test_unused_blobs_come_in_pages_without_those_that_are_named_or_newer(catalogue: Catalogue) -> None:
    await catalogue.write(*(StoreBlob(blob(number, used=100 + number)) for number in range(1, 7)))
    await catalogue.write(NameFile(FileRow("a.txt", key(2), 0, 0)), OpenUpload(upload(3)))
    found: list[str] = []
    after: BlobRow | None = None
    pages = 0
    while pages == 0 or after is not None:
        rows, after = await catalogue.unused(106, after, 2)
        found += [row.sha256 for row in rows]
        pages += 1
    assert found == [key(1), key(4), key(5)]
    assert pages == 3


async def test_what_was_touched_or_used_at_the_time_itself_is_not_before_it(catalogue: Catalogue) -> None:
    await catalogue.write(OpenUpload(upload(1, touched=9)), OpenUpload(upload(2, touched=10)))
    assert [row.sha256 for row in await catalogue.untouched(10, 5)] == [key(1)]
    await catalogue.write(NameFile(FileRow("old", key(1), 0, 9)), NameFile(FileRow("new", key(1), 0, 10)))
    assert [row.name for row in await catalogue.unused_files(10, 5)] == ["old"]
    assert await catalogue.unused_files(10, 0) == []


async def test_places_are_those_of_blobs_and_of_uploads(catalogue: Catalogue) -> None:
    await catalogue.write(StoreBlob(blob(1)), OpenUpload(upload(1)), OpenUpload(upload(2)))
    assert await catalogue.places([key(1), key(1), key(2), key(3)]) == {"p1", "u1q", "u2q"}
