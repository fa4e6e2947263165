"""Bounds on what jobs write: all is counted once, and the largest writer goes before the disk is full."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from asman_shared.units import GIB, MIB
from asman_worker.execution import disk_use as module
from asman_worker.execution.disk_use import (
    Account,
    DiskGuard,
    DiskUse,
    SharedFolder,
    Writer,
    folder_use,
    pause_after,
    share_of_free,
)


def written(path: Path, size: int) -> int:
    path.write_bytes(os.urandom(size))
    return path.stat().st_blocks * 512


def test_everything_in_a_folder_is_counted_at_any_depth(tmp_path: Path) -> None:
    assert folder_use(tmp_path) == DiskUse()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    folders = folder_use(tmp_path)
    assert folders.files == 2
    sizes = written(tmp_path / "x", 10_000) + written(deep / "y", 50_000)
    assert folder_use(tmp_path) == folders + DiskUse(sizes, 2)


def test_links_are_not_followed_and_holes_take_no_room(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    written(outside / "large", 500_000)
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "large")
    (folder / "loop").symlink_to(folder)
    with (folder / "hole").open("wb") as file:
        file.truncate(10**9)
    use = folder_use(folder)
    assert (use.bytes < 100_000, use.files) == (True, 4)


def test_a_folder_that_is_not_there_has_no_size(tmp_path: Path) -> None:
    assert folder_use(tmp_path / "none") == DiskUse()


async def test_a_shared_folder_charges_what_it_gains_in_equal_parts_to_those_who_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARE", 0)
    shared, one, other = SharedFolder(tmp_path), Writer(), Writer()
    written(tmp_path / "before", 100_000)
    async with AsyncExitStack() as later:
        async with shared.charging(one):
            first = written(tmp_path / "alone", 40_960)
            await later.enter_async_context(shared.charging(other))
            both = written(tmp_path / "together", 81_920)
            await shared.measure()
            assert shared.share(one) == DiskUse(first + both // 2, 1)
            assert shared.share(other) == DiskUse(both // 2, 0)
        (tmp_path / "together").unlink()
        await shared.measure()
        assert shared.share(other) == DiskUse(0, 0)


async def test_the_commands_of_a_job_are_charged_together_though_each_writes_by_itself(tmp_path: Path) -> None:
    shared, other, account = SharedFolder(tmp_path), Writer(), Account()
    async with shared.charging(Writer(), account):
        first = written(tmp_path / "first", 40_960)
    assert account.use == DiskUse(first, 1)
    async with shared.charging(other):
        written(tmp_path / "of another job", 40_960)
    command = Writer()
    async with shared.charging(command, account):
        second = written(tmp_path / "second", 81_920)
        await shared.measure(last=True)
        assert shared.share(command) == DiskUse(first + second, 2)
    assert account.use == DiskUse(first + second, 2)


def test_a_writer_over_a_bound_must_stop(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, most=10 * MIB, files=100)
    with guard.writing() as writer:
        writer.use = DiskUse(10 * MIB, 100)
        assert guard.excess(writer) is None
        writer.use = DiskUse(10 * MIB + 1, 100)
        excess = guard.excess(writer)
        assert excess is not None
        assert excess.message == "stopped: it wrote 10 MiB, and the maximum is 10 MiB (--disk)"
        writer.use = DiskUse(1, 101)
        excess = guard.excess(writer)
        assert excess is not None
        assert excess.message == "stopped: it made 101 files, and the maximum is 100 (ASMAN_WORKER_DISK_FILES)"


def test_the_largest_writer_stops_before_the_reserve_is_gone_and_then_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [GIB // 2]
    now = [0.0]
    monkeypatch.setattr(DiskGuard, "_left", lambda self: left[0])
    monkeypatch.setattr("asman_worker.execution.disk_use.time.monotonic", lambda: now[0])
    guard = DiskGuard(tmp_path, reserve=GIB)
    with guard.writing() as small, guard.writing() as large:
        small.use, large.use = DiskUse(MIB), DiskUse(2 * MIB)
        assert (guard.excess(small), guard.excess(large)) == (None, None)
        left[0] -= 1
        assert guard.excess(small) is None
        excess = guard.excess(large)
        assert excess is not None
        assert (excess.fault, excess.message) == (
            "worker",
            "stopped: it wrote 2 MiB, the most of all jobs here, and the worker has only 512 MiB of disk left",
        )
        large.use = DiskUse()
        assert guard.excess(small) is None, "the files of the first are being removed"
        now[0] += 60
        assert guard.excess(small) is not None


def test_a_disk_on_which_files_run_out_stops_who_made_the_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiskGuard, "_few_files", lambda self: True)
    guard = DiskGuard(tmp_path, reserve=1)
    with guard.writing() as few, guard.writing() as many:
        few.use, many.use = DiskUse(10**9, 5), DiskUse(1, 6)
        assert guard.excess(few) is None
        excess = guard.excess(many)
        assert excess is not None
        assert "it made 6 files, the most of all jobs here" in excess.message


def test_without_a_setting_a_job_may_write_half_of_what_is_free_beyond_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 9 * GIB

    monkeypatch.setattr("asman_worker.execution.disk_use.shutil.disk_usage", lambda folder: Usage)
    assert share_of_free(tmp_path, GIB) == 4 * GIB
    assert share_of_free(tmp_path, 10 * GIB) == 1, "none would stand for any"


def test_what_costs_much_is_measured_seldom_and_what_only_waits_is_measured_soon_again() -> None:
    assert pause_after(DiskUse(cost=0.001), 0.001) == pytest.approx(0.02)
    assert pause_after(DiskUse(cost=5.0), 6.0) == 100.0
    assert pause_after(DiskUse(cost=0.001), 30.0) == 20.0
    assert pause_after(DiskUse(), 0.5) == 10.0


def test_measuring_a_folder_tells_its_cost_and_sums_add_it(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / str(number)).touch()
    found = folder_use(tmp_path)
    assert found.cost > 0
    assert (found + found).cost == 2 * found.cost
    assert found == DiskUse(found.bytes, 200)
