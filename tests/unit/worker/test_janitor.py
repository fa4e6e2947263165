"""The janitor: what nobody used for long goes, and nothing outside of its folders."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from asman_shared.errors import ExecutionError
from asman_worker.files.cache import FileCache
from asman_worker.files.trim import trim_folder
from asman_worker.janitor import Janitor


def test_a_job_cache_is_bounded_by_size_and_age_and_its_links_are_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "shared", tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "precious").write_bytes(b"x" * 100_000)
    for number in range(4):
        path = folder / "sub" / str(number)
        path.write_bytes(b"x" * 100_000)
        then = time.time() - 100 * (4 - number)
        os.utime(path, (then, then))
    (folder / "way").symlink_to(outside)
    (folder / "sub" / "link").symlink_to(outside / "precious")
    trim_folder(folder, 250_000, 0)
    assert sorted(path.name for path in (folder / "sub").iterdir() if path.name.isdigit()) == ["2", "3"]
    trim_folder(folder, 0, 150)
    assert [path.name for path in (folder / "sub").iterdir() if path.name.isdigit()] == ["3"]
    assert (outside / "precious").exists()


def test_without_bounds_nothing_goes(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"x" * 10_000)
    os.utime(tmp_path / "old", (1, 1))
    left = trim_folder(tmp_path, 0, 0)
    assert left == (tmp_path / "old").stat().st_blocks * 512


def test_exactly_what_may_be_there_stays_and_a_byte_less_takes_the_oldest(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / str(number)
        path.write_bytes(b"x" * 4096)
        os.utime(path, (1000 + number, 1000 + number))
    size = (tmp_path / "0").stat().st_blocks * 512
    assert trim_folder(tmp_path, 3 * size, 0) == 3 * size
    assert trim_folder(tmp_path, 3 * size - 1, 0) == 2 * size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_a_file_that_was_read_lately_was_used_lately(tmp_path: Path) -> None:
    for name, read in (("read", time.time()), ("left", 1000)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (read, 1000))
    trim_folder(tmp_path, 0, 500)
    assert [path.name for path in tmp_path.iterdir()] == ["read"]


def test_a_folder_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert trim_folder(tmp_path / "none", 1, 1) == 0


class Images:
    """The worker's images, which count how often they are trimmed."""

    trimmed = 0
    broken: Exception | None = None

    async def trim(self, _docker: object) -> int:
        if self.broken is not None:
            raise self.broken
        self.trimmed += 1
        return 0


class Engine:
    """An engine that may be away."""

    def __init__(self) -> None:
        self.away = False
        self.cleared = 0

    @property
    def docker(self) -> object:
        if self.away:
            raise OSError("the engine is away")
        return self

    async def clear_leftovers(self) -> None:
        self.cleared += 1


async def test_a_round_trims_everything_and_an_engine_that_is_away_is_left_for_the_next(tmp_path: Path) -> None:
    images: Any = Images()
    engine: Any = Engine()
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "old").write_bytes(b"x")
    os.utime(shared / "old", (1, 1))
    janitor = Janitor(FileCache(tmp_path / "cache", most=10), images, engine, [shared], most=0, age=100)
    engine.away = True
    await janitor.round()
    assert list(shared.iterdir()) == []
    assert (images.trimmed, engine.cleared) == (0, 1)
    engine.away = False
    await janitor.round()
    assert (images.trimmed, engine.cleared) == (1, 2)


async def test_set_id_bits_in_a_job_cache_are_taken_away(tmp_path: Path) -> None:
    images: Any = Images()
    shared = tmp_path / "shared"
    (shared / "bin").mkdir(parents=True)
    (shared / "bin" / "tool").write_bytes(b"x")
    (shared / "bin" / "tool").chmod(0o6755)
    await Janitor(FileCache(tmp_path / "cache", most=10), images, None, [shared], most=0, age=0).round()
    assert (shared / "bin" / "tool").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("broken", [OSError("no"), ExecutionError("no"), TypeError("no")])
async def test_a_part_that_fails_is_logged_and_the_others_are_cleaned_up_all_the_same(
    tmp_path: Path, broken: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    images: Any = Images()
    engine: Any = Engine()
    images.broken = broken
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "old").write_bytes(b"x")
    os.utime(shared / "old", (1, 1))

    class Cache(FileCache):
        def trim(self, most: int | None = None) -> int:
            raise broken

    folders = [tmp_path / "none", tmp_path / "file", shared]
    folders[1].write_bytes(b"x")
    await Janitor(Cache(tmp_path / "cache", most=10), images, engine, folders, most=0, age=100).round()
    assert list(shared.iterdir()) == []
    assert engine.cleared == 1
    assert [record.getMessage().split(" was ")[0].split(" failed")[0] for record in caplog.records] == [
        "cleaning up the cache of inputs",
        "cleaning up the images",
    ]
