"""Where downloads go: all of it in order, hashed, and under its name only when it is whole."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from asman_shared.transfer.sink import FileSink, MemorySink, Sink
from asman_shared.transfer.source import CHUNK

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def fill(sink: Sink, data: bytes, piece: int = 300_000) -> str:
    for at in range(0, len(data), piece):
        await sink.feed(data[at : at + piece])
    return await sink.settle()


async def test_memory_keeps_all_and_forgets_all() -> None:
    sink = MemorySink()
    await sink.feed(b"wrong")
    await sink.restart()
    assert await fill(sink, b"right") == sha256(b"right")
    assert bytes(sink.data) == b"right"


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_has_every_byte_in_order(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    sink = FileSink(tmp_path / "part")
    assert await fill(sink, data) == sha256(data)
    await sink.rename(tmp_path / "whole", durable=True)
    await sink.discard()
    assert (tmp_path / "whole").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


async def test_what_was_begun_anew_has_nothing_of_before(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "part")
    await fill(sink, bytes(3 * CHUNK))
    await sink.restart()
    assert await fill(sink, b"right") == sha256(b"right")
    await sink.rename(tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == b"right"


async def test_what_is_discarded_leaves_nothing_however_far_it_came(tmp_path: Path) -> None:
    await FileSink(tmp_path / "part").discard()
    for size in (1, 3 * CHUNK):
        sink = FileSink(tmp_path / "part")
        await sink.feed(bytes(size))
        await sink.discard()
        await sink.discard()
        assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_there_is_neither_written_to_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "part")
    for name in ("part", "link"):
        sink = FileSink(tmp_path / name)
        with pytest.raises(FileExistsError):
            await fill(sink, b"other")
        await sink.discard()
    assert (tmp_path / "part").read_text() == "mine"
    assert (tmp_path / "link").is_symlink()


async def test_an_error_of_the_disk_comes_out_of_the_next_call(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "no folder" / "part")
    await sink.feed(bytes(CHUNK))
    with pytest.raises(FileNotFoundError):
        await sink.feed(bytes(CHUNK))
    await sink.discard()


async def test_a_name_that_is_taken_is_replaced_and_permissions_are_as_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "whole").write_text("old")
    sink = FileSink(tmp_path / "part", mode=0o600)
    await fill(sink, b"new")
    await sink.rename(tmp_path / "whole")
    assert (tmp_path / "whole").read_text() == "new"
    assert (tmp_path / "whole").stat().st_mode & 0o777 == 0o600


async def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "part")
    await sink.discard()
    with pytest.raises(ValueError, match="closed"):
        await fill(sink, b"late")
    assert list(tmp_path.iterdir()) == []


async def test_one_chunk_is_written_while_the_next_is_filled_and_no_more_wait(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "part")
    for _ in range(5):
        await sink.feed(bytes(CHUNK))
        assert sink._held == 0
        assert sink._writing is not None
    await sink.discard()
    await asyncio.sleep(0)
    assert not (tmp_path / "part").exists()
