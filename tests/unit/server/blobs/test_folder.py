"""The folder store: bytes are what their name says, whole or not there at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.requests import ClientDisconnect

from asman_server.blobs import FolderStore
from asman_server.blobs.folder import Grant
from asman_server.blobs.signing import Signer
from asman_server.disk_room import DISK_RESERVE
from asman_server.storage.blob_changes import BlobRow, UploadRow
from asman_shared import limits
from asman_shared.errors import Forbidden, QuotaExceeded, TooLarge, Unauthentic
from asman_shared.units import KIB, MIB

BODY = b"hello blob"
KEY = hashlib.sha256(BODY).hexdigest()
PART = 64 * KIB
BIG = os.urandom(2 * PART + 5)
BIG_KEY = hashlib.sha256(BIG).hexdigest()
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


async def keep(store: FolderStore, chunks: AsyncIterator[bytes], key: str = KEY, size: int = len(BODY)) -> Path:
    async with store.received(key, size, chunks) as came:
        return store.path(await store.keep(key, size, came.file))


def files(store: FolderStore) -> list[str]:
    return sorted(path.name for path in store.incoming.parent.rglob("*") if path.is_file())


async def test_what_was_sent_is_there_each_time_at_a_place_of_its_own(store: FolderStore) -> None:
    first = await keep(store, body(BODY[:3], BODY[3:]))
    assert first.read_bytes() == BODY
    assert files(store) == [first.name]
    second = await keep(store, body(BODY))
    assert files(store) == sorted([first.name, second.name])
    await store.remove(str(first.relative_to(store.incoming.parent)))
    assert second.read_bytes() == BODY


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (body(b"hello blub"), Unauthentic),
        (body(b"hello"), Unauthentic),
        (body(), Unauthentic),
        (body(BODY, b"!"), TooLarge),
        (body(b"x" * 1000), TooLarge),
    ],
)
async def test_other_bytes_are_refused_and_gone(store: FolderStore, sent: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await keep(store, sent)
    assert files(store) == []


async def test_an_upload_that_breaks_off_leaves_nothing(store: FolderStore) -> None:
    with pytest.raises(ClientDisconnect):
        await keep(store, body(BODY[:3], then=ClientDisconnect()))
    assert files(store) == []


async def test_a_disk_with_too_little_room_is_said_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path / "blobs", SIGNER, lambda: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=DISK_RESERVE + 5))
    with pytest.raises(QuotaExceeded, match=r"nearly full.*too little for 10 B"):
        await keep(store, body(then=AssertionError("read")))
    with pytest.raises(QuotaExceeded):
        await store.begin(BIG_KEY, len(BIG))
    with pytest.raises(QuotaExceeded):
        await store.receive_part(Grant(10, "x", 1), body(then=AssertionError("read")))
    assert files(store) == []


async def test_a_disk_that_fails_meanwhile_is_said(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("asman_server.blobs.receiving.os.fsync", full)
    with pytest.raises(QuotaExceeded, match="No space left on device"):
        await keep(store, body(BODY))
    assert files(store) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode != 0:
        assert os.geteuid() != 0, done.stderr
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_said_and_leaves_room_for_what_fits(
    tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tiny_disk / "blobs", SIGNER, lambda: 0, reserve=0)
    monkeypatch.setattr(store, "need_room", lambda _size: None)  # others fill it after we looked
    large = bytes(2 * MIB)
    with pytest.raises(QuotaExceeded, match="the hub's disk is full"):
        await keep(store, body(large), hashlib.sha256(large).hexdigest(), len(large))
    assert files(store) == []
    upload = await begun(store, large)
    with pytest.raises(QuotaExceeded, match="the hub's disk is full"):
        for number in range(1, 33):
            await send(store, upload, number, large)
    assert not await complete(store, upload)
    await store.abort(upload)
    assert (await keep(store, body(BODY))).read_bytes() == BODY


async def test_nobody_sees_a_blob_before_it_is_whole(store: FolderStore) -> None:
    seen: list[list[str]] = []

    async def watched() -> AsyncIterator[bytes]:
        for byte in BODY:
            yield bytes((byte,))
            seen.append([name for name in files(store) if name.startswith(KEY)])

    await keep(store, watched())
    assert seen == [[]] * len(BODY)


async def test_a_blob_has_all_its_bytes_on_disk_before_it_has_its_name(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[tuple[str, int]] = []
    rename, sync = Path.replace, os.fsync

    def replace(self: Path, target: Path) -> Path:
        happened.append(("named", self.stat().st_size))
        return rename(self, target)

    def fsync(file: int) -> None:
        happened.append(("synced", os.fstat(file).st_size))
        sync(file)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    await keep(store, body(BODY))
    at = happened.index(("named", len(BODY)))
    assert ("synced", len(BODY)) in happened[:at]


async def test_tickets_and_links_are_signed_for_one_blob_and_a_while(store: FolderStore) -> None:
    ticket = store.direct(KEY, len(BODY))
    assert (ticket.exists, ticket.method, ticket.expires) == (False, "PUT", 4_600_000)
    parts = urlsplit(ticket.url)
    assert Grant.read(SIGNER.check("PUT", parts.path, dict(parse_qsl(parts.query)), now=1000)) == Grant(len(BODY))
    parts = urlsplit(await store.link(BlobRow(KEY, len(BODY), "x", 0, 0)))
    query = dict(parse_qsl(parts.query))
    assert SIGNER.check("GET", parts.path, query, now=1000) == ""
    with pytest.raises(Forbidden, match="expired"):
        SIGNER.check("GET", parts.path, query, now=4601)
    with pytest.raises(Forbidden, match="does not accept uploads"):
        Grant.read("")


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


async def test_the_files_of_an_older_hub_are_found_but_for_one_that_a_crash_left_empty(store: FolderStore) -> None:
    folder = store.incoming.parent
    empty = hashlib.sha256(b"").hexdigest()
    for name, content in ((KEY, BODY), (BIG_KEY, b""), (empty, b"")):
        (folder / name[:2]).mkdir(exist_ok=True)
        (folder / name[:2] / name).write_bytes(content)
    (store.incoming / KEY).write_bytes(b"x")
    found = [row async for rows in store.older() for row in rows]
    assert {(row.sha256, row.size, row.place) for row in found} == {
        (KEY, len(BODY), f"{KEY[:2]}/{KEY}"),
        (empty, 0, f"{empty[:2]}/{empty}"),
    }
