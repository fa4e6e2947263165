"""Set-id bits and devices that a job left are taken away, and nothing outside of its folder is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from asman_worker.files.set_bits import strip_set_bits


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def file(path: Path, bits: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(bits)
    return path


def test_set_id_bits_go_at_any_depth_and_all_others_stay(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 200)
    user, group, plain = (
        file(tmp_path / "user", 0o4755),
        file(deep / "group", 0o2711),
        file(tmp_path / "plain", 0o1640),
    )
    assert strip_set_bits(tmp_path) == 2
    assert (mode(user), mode(group), mode(plain)) == (0o755, 0o711, 0o1640)
    assert strip_set_bits(tmp_path) == 0


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = file(tmp_path / "outside" / "tool", 0o4755)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").symlink_to(outside)
    (folder / "way").symlink_to(outside.parent)
    assert strip_set_bits(folder) == 0
    assert mode(outside) == 0o4755
    (tmp_path / "link").symlink_to(outside.parent)
    assert strip_set_bits(tmp_path / "link") == 0
    assert mode(outside) == 0o4755


def test_a_folder_that_is_not_there_and_pipes_are_no_trouble(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o4666)
    assert strip_set_bits(tmp_path) == strip_set_bits(tmp_path / "none") == 0


def test_devices_are_removed(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this user may not make devices")
    assert strip_set_bits(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
