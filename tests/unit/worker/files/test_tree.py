"""Folders that jobs filled are walked and removed however deep they are, and nothing outside of them is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from asman_worker.execution.disk_use import folder_use
from asman_worker.execution.folders import JobFolder
from asman_worker.files.set_bits import strip_set_bits
from asman_worker.files.tree import remove_tree, walking
from asman_worker.files.trim import trim_folder

DEPTH = 3000
"""More folders in each other than Python may recurse, with a path longer than system calls take."""
BYTES = 1_000_000


def deep(root: Path, depth: int = DEPTH) -> None:
    """Puts a file with a set-id bit at the bottom of many folders."""
    at = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("folder", dir_fd=at)
        inner = os.open("folder", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    file = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at)
    os.write(file, b"x" * BYTES)
    os.fchmod(file, 0o4755)
    os.close(file)
    os.close(at)


def files_in(folder: Path) -> list[tuple[str, int]]:
    with walking(folder) as entries:
        return [(each.name, each.stat.st_mode) for each in entries if stat.S_ISREG(each.stat.st_mode)]


def test_a_file_below_thousands_of_folders_is_counted_stripped_trimmed_and_removed(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "a-1")
    folder.make()
    deep(folder.outputs)
    try:
        use = folder_use(folder.outputs)
        assert (use.files, use.bytes >= BYTES) == (DEPTH + 1, True)
        assert strip_set_bits(folder.outputs) == 1
        assert [stat.S_IMODE(mode) for _, mode in files_in(folder.outputs)] == [0o755]
        assert trim_folder(folder.outputs, BYTES // 2, 0) == 0
        assert files_in(folder.outputs) == []
    finally:
        folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_moved_away_during_a_walk_leads_nowhere_else(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "b" / "c" / "d").mkdir(parents=True)
    (inside / "a").mkdir()
    (inside / "a" / "file").touch()
    outside.mkdir()
    (outside / "precious").touch()
    seen: list[str] = []
    with walking(inside) as entries:
        for entry in entries:
            seen.append(entry.name)
            if entry.name == "d" and not entry.left:
                (inside / "b" / "c").rename(outside / "c")
    assert "precious" not in seen
    assert "file" in seen
    with walking(inside) as entries:
        assert {entry.name for entry in entries} == {"a", "b", "file"}


def test_of_a_tree_that_is_removed_links_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "precious").touch()
    for link in (folder / "link", folder / "sub" / "link"):
        link.symlink_to(outside)
    os.mkfifo(folder / "pipe")
    remove_tree(folder)
    remove_tree(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "precious").exists()


def test_the_root_of_a_walk_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert files_in(tmp_path / "link") == files_in(tmp_path / "none") == []
    with pytest.raises(OSError, match="link"):
        remove_tree(tmp_path / "link")
    assert (tmp_path / "folder" / "file").exists()
