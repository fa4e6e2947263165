"""The folder store: bytes are what their name says, whole or not there at all."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.requests import ClientDisconnect

from asman_server import blobs as module
from asman_server.blobs import BLOB_BYTES, FolderStore
from asman_server.signing import Signer
from asman_shared.errors import NotFound, TooLarge, Unauthentic, Unavailable

BODY = b"hello blob"
KEY = hashlib.sha256(BODY).hexdigest()
SIGNER = Signer(b"secret")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "blobs", SIGNER, lambda: 1_000_000)


async def body(*chunks: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then is not None:
        raise then


def files(store: FolderStore) -> list[str]:
    return sorted(path.name for path in store.path(KEY).parent.parent.rglob("*") if path.is_file())


async def test_what_was_sent_is_there(store: FolderStore) -> None:
    await store.write(KEY, len(BODY), body(BODY[:3], BODY[3:]))
    assert store.read(KEY).read_bytes() == BODY
    assert files(store) == [KEY]
    await store.write(KEY, len(BODY), body(BODY))
    assert files(store) == [KEY]


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
        await store.write(KEY, len(BODY), sent)
    assert files(store) == []
    with pytest.raises(NotFound):
        store.read(KEY)


async def test_an_upload_that_breaks_off_leaves_nothing(store: FolderStore) -> None:
    with pytest.raises(ClientDisconnect):
        await store.write(KEY, len(BODY), body(BODY[:3], then=ClientDisconnect()))
    assert files(store) == []


async def test_a_failed_upload_harms_no_blob_that_is_there(store: FolderStore) -> None:
    await store.write(KEY, len(BODY), body(BODY))
    with pytest.raises(Unauthentic):
        await store.write(KEY, len(BODY), body(b"hello blub"))
    assert store.read(KEY).read_bytes() == BODY


async def test_a_disk_with_too_little_room_is_said_before_anything_is_read(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=module.DISK_RESERVE + 5))
    with pytest.raises(Unavailable, match="too little for 10 B; try later"):
        await store.write(KEY, len(BODY), body(then=AssertionError("read")))
    assert files(store) == []


async def test_a_disk_that_fails_meanwhile_is_said(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("asman_server.blobs.os.fsync", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        await store.write(KEY, len(BODY), body(BODY))
    assert files(store) == []


async def test_nobody_sees_a_blob_before_it_is_whole(store: FolderStore) -> None:
    seen: list[bool] = []

    async def watched() -> AsyncIterator[bytes]:
        for byte in BODY:
            yield bytes((byte,))
            seen.append(store.path(KEY).exists())

    await store.write(KEY, len(BODY), watched())
    assert seen == [False] * len(BODY)


async def test_a_blob_has_all_its_bytes_on_disk_before_it_has_its_name(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    rename = Path.replace

    def replace(self: Path, target: Path) -> Path:
        sizes.append(self.stat().st_size)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    await store.write(KEY, len(BODY), body(BODY))
    assert sizes == [len(BODY)]


async def test_a_blob_that_a_crash_left_short_is_asked_for_again(store: FolderStore) -> None:
    await store.write(KEY, len(BODY), body(BODY))
    store.path(KEY).write_bytes(b"")
    (ticket,) = await store.tickets([(KEY, len(BODY))])
    assert not ticket.exists
    await store.write(KEY, len(BODY), body(BODY))
    assert store.read(KEY).read_bytes() == BODY


async def test_tickets_and_links_are_signed_for_one_blob_and_a_while(store: FolderStore) -> None:
    (ticket,) = await store.tickets([(KEY, len(BODY))])
    assert (ticket.exists, ticket.method, ticket.expires) == (False, "PUT", 4_600_000)
    parts = urlsplit(ticket.url)
    assert SIGNER.check("PUT", parts.path, dict(parse_qsl(parts.query)), now=1000) == str(len(BODY))
    (missing,) = await store.links([KEY])
    assert missing.url == ""
    await store.write(KEY, len(BODY), body(BODY))
    (ticket,) = await store.tickets([(KEY, len(BODY))])
    assert (ticket.exists, ticket.url) == (True, "")
    (link,) = await store.links([KEY])
    assert link.size == len(BODY)
    parts = urlsplit(link.url)
    assert SIGNER.check("GET", parts.path, dict(parse_qsl(parts.query)), now=1000) == ""


async def test_a_blob_over_the_largest_is_refused(store: FolderStore) -> None:
    with pytest.raises(TooLarge, match="64 GiB"):
        await store.tickets([(KEY, BLOB_BYTES + 1)])
