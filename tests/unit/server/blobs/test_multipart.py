"""Uploads in parts: noted when they are durable, written by their newest sender, and never changed after that."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_server.blobs import FolderStore
from asman_server.blobs.folder import Grant
from asman_server.blobs.multipart import MultipartUploads, part_count, part_size
from asman_server.blobs.signing import Signer
from asman_server.storage.blob_changes import UploadRow
from asman_shared import limits
from asman_shared.errors import BadRequest, Conflict, NotFound, TooLarge
from asman_shared.units import KIB

PART = 64 * KIB
BIG = os.urandom(2 * PART + 5)
SIGNER = Signer(b"secret")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "blobs", SIGNER, lambda: 1_000_000, reserve=0)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PART_BYTES", PART)


async def body(*chunks: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then is not None:
        raise then


def files(store: FolderStore) -> list[str]:
    return sorted(path.name for path in store.incoming.parent.rglob("*") if path.is_file())


# ---------------------------------------------------------------------------------------------------------- in parts


async def begun(store: FolderStore, whole: bytes) -> UploadRow:
    key = hashlib.sha256(whole).hexdigest()
    place, name = await store.begin(key, len(whole))
    return UploadRow("q", key, len(whole), place, name, 0, 0)


async def send(store: FolderStore, upload: UploadRow, number: int, whole: bytes) -> None:
    part = whole[(number - 1) * PART : number * PART]
    await store.receive_part(Grant(len(part), upload.store_id, number), body(part))


async def complete(store: FolderStore, upload: UploadRow) -> bool:
    return await store.ticket(upload) is None


async def test_parts_come_in_any_order_and_are_verified_together(store: FolderStore) -> None:
    upload = await begun(store, BIG)
    for number in (3, 1, 2):
        assert not await complete(store, upload)
        await send(store, upload, number, BIG)
    assert await complete(store, upload)
    place = await store.settle(upload)
    assert store.path(place).read_bytes() == BIG
    assert files(store) == [store.path(place).name]
    # A hub that ended before it had noted so asks again.
    assert await complete(store, upload)
    assert await store.settle(upload) == place


async def test_a_part_that_came_is_never_written_again(store: FolderStore) -> None:
    upload = await begun(store, BIG)
    for number in (1, 2, 3):
        await send(store, upload, number, BIG)
    await send(store, upload, 2, bytes(len(BIG)))
    assert store.path(await store.settle(upload)).read_bytes() == BIG


async def test_the_newest_sender_of_a_part_counts_and_a_stalled_one_harms_nobody(store: FolderStore) -> None:
    upload = await begun(store, BIG)
    go_on, stalled = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(PART - 1)
        stalled.set()
        await go_on.wait()
        yield b"?"

    older = asyncio.create_task(store.receive_part(Grant(PART, upload.store_id, 1), slow()))
    await stalled.wait()
    for number in (1, 2, 3):
        await send(store, upload, number, BIG)
    place = await store.settle(upload)
    go_on.set()
    with pytest.raises(Conflict, match="another connection"):
        await older
    assert store.path(place).read_bytes() == BIG


async def test_a_part_of_another_size_is_not_noted(store: FolderStore) -> None:
    upload = await begun(store, BIG)
    with pytest.raises(BadRequest, match="part 1 must have 65536 bytes, but 10 arrived; send it again"):
        await store.receive_part(Grant(PART, upload.store_id, 1), body(BIG[:10]))
    with pytest.raises(TooLarge, match="part 1 must have 65536 bytes, but more arrived"):
        await store.receive_part(Grant(PART, upload.store_id, 1), body(BIG[:PART], b"!"))
    ticket = await store.ticket(upload)
    assert ticket is not None
    assert [part.number for part in ticket.parts] == [1, 2, 3]


async def test_what_is_over_takes_no_more_parts(store: FolderStore) -> None:
    upload = await begun(store, BIG)
    await store.abort(upload)
    with pytest.raises(Conflict, match="this upload has ended"):
        await send(store, upload, 1, BIG)
    with pytest.raises(NotFound):
        await store.ticket(upload)
    assert files(store) == []


async def test_a_part_is_synced_before_it_is_noted(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await begun(store, BIG)
    happened: list[str] = []
    sync, write = os.fsync, os.pwrite

    def fsync(file: int) -> None:
        happened.append("sync")
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)

    def pwrite(file: int, piece: bytes, at: int) -> int:
        happened.append("note" if bytes(piece) == b"\1" else "write")
        return write(file, piece, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    await send(store, upload, 1, BIG)
    assert happened == ["write", "sync", "note", "sync"]


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (PART, [PART]),
        (PART + 1, [PART, 1]),
        (3 * PART, [PART, PART, PART]),
    ],
)
def test_a_blob_is_cut_into_parts_of_which_the_last_may_be_smaller(size: int, sizes: list[int]) -> None:
    assert [part_size(size, number + 1) for number in range(part_count(size))] == sizes


async def test_parts_are_missing_until_they_came_and_beginning_again_forgets_none(tmp_path: Path) -> None:
    uploads = MultipartUploads(tmp_path)
    uploads.begin("a", 2 * PART + 1)
    assert uploads.missing("a") == [1, 2, 3]
    await uploads.receive("a", 3, 1, body(b"z"))
    uploads.begin("a", 2 * PART + 1)
    assert uploads.missing("a") == [1, 2]
    assert uploads.file("a").stat().st_size == 2 * PART + 1
    assert uploads.file("a").read_bytes()[-1:] == b"z"


def test_an_upload_that_was_removed_is_over(tmp_path: Path) -> None:
    uploads = MultipartUploads(tmp_path)
    uploads.begin("a", 1)
    uploads.remove("a")
    uploads.remove("a")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound, match="ended"):
        uploads.missing("a")


async def test_a_crash_before_the_notes_are_there_begins_the_upload_anew(tmp_path: Path) -> None:
    uploads = MultipartUploads(tmp_path)
    uploads.file("a").write_bytes(b"left")
    (tmp_path / "a.making").write_bytes(b"\1")
    uploads.begin("a", PART)
    assert uploads.missing("a") == [1]
    assert uploads.file("a").stat().st_size == PART
