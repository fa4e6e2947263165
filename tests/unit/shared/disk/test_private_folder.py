"""A data folder is its owner's alone, and nobody else's folder is closed by mistake."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from asman_shared.disk.private_folder import private
from asman_shared.errors import Unavailable


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    assert private(tmp_path / "a" / "b", marks=("lock",)) == ""
    assert mode(tmp_path / "a" / "b") == 0o700


@pytest.mark.parametrize("before", [0o755, 0o711, 0o777, 0o750, 0o701])
def test_a_folder_that_is_empty_or_was_used_before_is_tightened(tmp_path: Path, before: int) -> None:
    for name, content in (("empty", None), ("used", "lock")):
        folder = tmp_path / name
        folder.mkdir()
        if content is not None:
            (folder / content).touch()
        folder.chmod(before)
        assert private(folder, marks=("other", "lock")) == ""
        assert mode(folder) == 0o700


def test_a_folder_of_something_else_that_others_may_enter_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    tmp_path.chmod(0o755)
    assert private(tmp_path, marks=("lock",)).endswith("choose another with --data-dir, or 'chmod 700' it")
    assert mode(tmp_path) == 0o755
    tmp_path.chmod(0o700)
    assert private(tmp_path, marks=("lock",)) == ""
    assert mode(tmp_path) == 0o700


def test_the_root_of_a_new_file_system_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    tmp_path.chmod(0o755)
    assert private(tmp_path, marks=("lock",)) == ""
    assert mode(tmp_path) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_told(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    assert "belongs to another user" in private(tmp_path, marks=("lock",))


def test_a_folder_for_everybodys_files_is_never_closed(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    tmp_path.chmod(0o1777)
    assert "other users may enter" in private(tmp_path, marks=("lock",))
    assert mode(tmp_path) == 0o1777


def test_a_path_that_is_no_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="can't be used: "):
        private(tmp_path / "file", marks=("lock",))
