"""Where uploads come from: the range that is asked for, and never bytes of a file that changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asman_shared.errors import Conflict
from asman_shared.transfer.source import CHUNK, Blob, Reading, file_state

DATA = os.urandom(2 * CHUNK + 17)


def opener(path: Path) -> Callable[[], int]:
    return lambda: os.open(path, os.O_RDONLY)


@pytest.fixture(params=["memory", "file"])
def blob(request: pytest.FixtureRequest, tmp_path: Path) -> Blob:
    if request.param == "memory":
        return Blob("x", len(DATA), DATA)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return Blob("x", len(DATA), opener(path), "the input 'a'", file_state(path.stat()))


async def read(blob: Blob, offset: int, size: int, counted: list[int] | None = None) -> list[bytes]:
    reading = Reading(blob, offset, size)
    try:
        return [chunk async for chunk in reading.chunks((counted if counted is not None else []).append)]
    finally:
        reading.close()


@pytest.mark.parametrize(
    ("offset", "size"), [(0, len(DATA)), (0, 0), (5, 1), (CHUNK - 1, CHUNK + 2), (len(DATA) - 1, 1), (0, CHUNK)]
)
async def test_a_range_is_read_in_chunks_and_each_is_counted(blob: Blob, offset: int, size: int) -> None:
    counted: list[int] = []
    chunks = await read(blob, offset, size, counted)
    assert b"".join(chunks) == DATA[offset : offset + size]
    assert [len(chunk) for chunk in chunks] == counted
    assert all(len(chunk) <= CHUNK for chunk in chunks)


async def test_a_range_can_be_read_again(blob: Blob) -> None:
    assert await read(blob, 3, 5) == await read(blob, 3, 5) == [DATA[3:8]]


async def test_after_the_end_and_after_closing_there_is_nothing(blob: Blob) -> None:
    reading = Reading(blob, 0, 2)
    assert await reading.next() == DATA[:2]
    assert await reading.next() == b""
    reading.close()
    closed = Reading(blob, 0, 2)
    closed.close()
    closed.close()
    assert await closed.next() == b""


def changed(path: Path) -> Blob:
    path.write_bytes(DATA)
    return Blob("x", len(DATA), opener(path), "the input 'a'", file_state(path.stat()))


async def test_a_file_that_changed_before_it_was_read_is_refused(tmp_path: Path) -> None:
    blob = changed(tmp_path / "file")
    (tmp_path / "file").write_bytes(DATA[:-1] + b"x")
    os.utime(tmp_path / "file", (1, 1))
    with pytest.raises(Conflict, match="the input 'a' changed"):
        await read(blob, 0, 10)


async def test_a_file_that_changes_while_it_is_read_is_noticed_at_its_end(tmp_path: Path) -> None:
    blob = changed(tmp_path / "file")
    reading = Reading(blob, 0, len(DATA))
    await reading.next()
    os.utime(tmp_path / "file", (1, 1))
    await reading.next()
    with pytest.raises(Conflict):
        await reading.next()
    reading.close()


async def test_a_file_that_is_shorter_than_it_was_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short")
    with pytest.raises(Conflict, match="a blob changed"):
        await read(Blob("x", 10, opener(tmp_path / "file")), 0, 10)


async def test_a_file_that_can_not_be_read_is_said_and_is_no_error_of_the_network(tmp_path: Path) -> None:
    blob = Blob("x", 10, opener(tmp_path / "none"), "the input 'a'")
    with pytest.raises(Conflict, match="the input 'a' can't be read any more: No such file"):
        await read(blob, 0, 10)


async def test_a_file_is_closed_whether_it_was_read_to_its_end_or_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    opened: list[int] = []

    def source() -> int:
        opened.append(os.open(tmp_path / "file", os.O_RDONLY))
        return opened[-1]

    blob = Blob("x", len(DATA), source)
    await read(blob, 0, len(DATA))
    early = Reading(blob, 0, len(DATA))
    await early.next()
    early.close()
    assert len(opened) == 2
    for file in set(opened):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1, 1))
    assert file_state((tmp_path / "a").stat()) != file_state((tmp_path / "b").stat())
