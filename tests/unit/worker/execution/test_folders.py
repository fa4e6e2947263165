"""The folders of an attempt: fresh, and never left by a name or a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.errors import BadDefinition
from asman_worker.execution.folders import JobFolder, resolve, sweep


def test_a_link_on_the_way_is_not_gone_through(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(BadDefinition):
        resolve(tmp_path / "in", "link/x", field="inputs")
    with pytest.raises(BadDefinition):
        resolve(tmp_path / "in", "link", field="inputs")


def test_folders_of_earlier_attempts_are_swept_but_those_that_go_on(tmp_path: Path) -> None:
    for name in ("going", "gone"):
        JobFolder(tmp_path / name).make()
    (tmp_path / "link").symlink_to(tmp_path.parent)
    sweep(tmp_path, {"going"})
    assert [path.name for path in tmp_path.iterdir()] == ["going"]
