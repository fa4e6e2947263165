"""Bytes that arrive: in pieces of a size, in a file that is whole and synced, or nowhere."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_server.blobs import receiving
from asman_server.blobs.receiving import pieces, received
from asman_shared.errors import QuotaExceeded, TooLarge, Unavailable


async def stream(*chunks: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then is not None:
        raise then


@pytest.mark.parametrize(
    ("chunks", "joined"),
    [
        ([], []),
        ([b""], []),
        ([b"ab", b"c"], [b"abc"]),
        ([b"ab", b"cd"], [b"abcd"]),
        ([b"ab", b"cd", b"e"], [b"abcd", b"e"]),
        ([b"abcdefghi", b"j"], [b"abcdefghi", b"j"]),
    ],
)
async def test_small_chunks_are_joined_until_they_are_large_enough(chunks: list[bytes], joined: list[bytes]) -> None:
    assert [piece async for piece in pieces(stream(*chunks), 4)] == joined


async def test_what_arrived_is_in_a_file_until_the_end_of_the_block(tmp_path: Path) -> None:
    async with received(tmp_path, "x", stream(b"hello ", b"blob"), 10) as came:
        assert came.file.read_bytes() == b"hello blob"
        assert (came.size, came.sha256) == (10, hashlib.sha256(b"hello blob").hexdigest())
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_was_moved_to_its_place_stays_there(tmp_path: Path) -> None:
    async with received(tmp_path, "x", stream(b"a"), 1) as came:
        came.file.rename(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


async def test_two_under_one_name_do_not_meet(tmp_path: Path) -> None:
    async with received(tmp_path, "x", stream(b"a"), 1) as one, received(tmp_path, "x", stream(b"b"), 1) as two:
        assert (one.file.read_bytes(), two.file.read_bytes()) == (b"a", b"b")


async def test_one_byte_too_many_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        async with received(tmp_path, "x", stream(b"abc", b"d"), 3):
            pytest.fail("it was taken")
    assert list(tmp_path.iterdir()) == []


async def test_a_sender_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="gone"):
        async with received(tmp_path, "x", stream(b"abc", then=RuntimeError("gone")), 3):
            pytest.fail("it was taken")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, QuotaExceeded), (errno.EDQUOT, QuotaExceeded), (errno.EIO, Unavailable)]
)
async def test_a_disk_that_fails_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def broken(_file: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(receiving, "_sync", broken)
    with pytest.raises(kind):
        async with received(tmp_path, "x", stream(b"a"), 1):
            pytest.fail("it was taken")
    assert list(tmp_path.iterdir()) == []
