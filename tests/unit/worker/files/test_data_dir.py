"""Who a worker is, by its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.errors import Unavailable
from asman_worker.files.data_dir import DataDir


def test_a_restarted_worker_is_the_same_worker(tmp_path: Path) -> None:
    with DataDir.take(tmp_path) as first:
        incarnation = first.incarnation
    with DataDir.take(tmp_path) as again:
        assert (again.path, again.incarnation) == (tmp_path, incarnation)


def test_two_workers_on_one_folder_are_two(tmp_path: Path) -> None:
    with DataDir.take(tmp_path) as first, DataDir.take(tmp_path) as second, DataDir.take(tmp_path) as third:
        assert [second.path, third.path] == [tmp_path / "1", tmp_path / "2"]
        assert len({first.incarnation, second.incarnation, third.incarnation}) == 3


def test_an_unreadable_incarnation_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "incarnation").write_text("../../etc")
    with DataDir.take(tmp_path) as made:
        assert len(made.incarnation) == 32


def test_a_folder_that_can_not_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="--data-dir"):
        DataDir.take(tmp_path / "file" / "sub")
