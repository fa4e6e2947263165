"""A disk with less free space than the reserve is told, and one with more is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asman_server.config import load_config
from asman_server.disk_room import DiskRoom, need_room
from asman_server.storage.database import sqlite_folder
from asman_shared.errors import BadRequest, QuotaExceeded
from asman_shared.units import MIB


def test_a_disk_below_its_reserve_is_full_for_anything_new(tmp_path: Path) -> None:
    assert DiskRoom([tmp_path], 0).full() == ""
    assert DiskRoom([tmp_path], 1).full() == ""
    assert DiskRoom([tmp_path], 2**62).full().startswith("the hub's disk is nearly full: it has ")
    need_room(tmp_path, 10, 0)
    with pytest.raises(QuotaExceeded, match=r"the hub's disk is nearly full: .*too little for 10 B"):
        need_room(tmp_path, 10, 2**62)


def test_any_of_the_folders_counts_and_is_looked_at_again(
    small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    room = DiskRoom([tmp_path, small_disk], MIB // 2)
    assert room.full() == ""
    (small_disk / "filler").write_bytes(bytes(MIB * 3 // 4))
    room._looked = 0  # as after a second
    assert "nearly full" in room.full()
    (small_disk / "filler").unlink()
    room._looked = 0
    assert room.full() == ""
    told = [record.message for record in caplog.records]
    assert told == ["no new jobs, files and log lines are taken", "the hub's disk has room again"]


def test_free_space_is_not_asked_for_each_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    real = shutil.disk_usage

    def counted(folder: Path) -> object:
        asked.append(folder)
        return real(folder)

    monkeypatch.setattr(shutil, "disk_usage", counted)
    room = DiskRoom([tmp_path], 1)
    for _ in range(100):
        room.full()
    assert len(asked) < 10


def test_only_disks_of_the_hub_s_own_data_count(tmp_path: Path) -> None:
    assert sqlite_folder(f"sqlite:///{tmp_path / 'hub.sqlite'}") == tmp_path
    assert sqlite_folder("sqlite:///:memory:") is None
    assert sqlite_folder("postgresql://user@host/name") is None


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    assert "can't be used: No such file" in DiskRoom([tmp_path / "gone"], 1).full()


def test_the_reserve_is_a_size_and_none_is_said_with_zero(tmp_path: Path) -> None:
    assert load_config(data_dir=tmp_path).disk_reserve == "512 MiB"
    assert load_config(data_dir=tmp_path, disk_reserve="0B").disk_reserve == "0B"
    for wrong in ("", "much", "5"):
        with pytest.raises(BadRequest, match="'disk_reserve'"):
            load_config(data_dir=tmp_path, disk_reserve=wrong)
