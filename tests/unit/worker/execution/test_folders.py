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


def test_a_folder_is_named_by_the_beginning_of_the_id_and_the_attempt(tmp_path: Path) -> None:
    folder = JobFolder.of(tmp_path, "0123456789abcdef" + "f" * 48, 7)
    assert folder.root == tmp_path / "0123456789abcdef-7"
    assert {folder.inputs, folder.outputs, folder.config} == {folder.root / n for n in ("inputs", "outputs", "config")}


def test_a_made_folder_is_empty_and_jobs_of_any_user_may_write_their_outputs(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "jobs" / "a-1")
    folder.make()
    (folder.inputs / "old").write_text("x")
    folder.make()
    assert list(folder.inputs.iterdir()) == []
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder.root, folder.inputs, folder.outputs)}
    assert modes == {"a-1": 0o711, "inputs": 0o755, "outputs": 0o777}


def test_a_folder_that_a_job_closed_off_is_removed_and_its_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    folder = JobFolder(tmp_path / "a-1")
    folder.make()
    closed = folder.outputs / "closed" / "deeper"
    closed.mkdir(parents=True)
    (closed / "file").write_text("x")
    (folder.outputs / "link").symlink_to(outside)
    closed.chmod(0)
    closed.parent.chmod(0o500)
    folder.remove()
    assert not folder.root.exists()
    assert (outside / "precious").read_text() == "x"
    folder.remove()


def test_a_link_in_the_place_of_a_folder_is_removed_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (tmp_path / "a-1").symlink_to(outside)
    JobFolder(tmp_path / "a-1").remove()
    assert not (tmp_path / "a-1").is_symlink()
    assert (outside / "precious").exists()


def test_a_name_has_its_parents_made_and_is_there_once(tmp_path: Path) -> None:
    target = resolve(tmp_path, "a/b/c.txt", field="inputs")
    assert target == tmp_path / "a" / "b" / "c.txt"
    assert target.parent.is_dir()
    target.write_text("x")
    for name in ("a/b/c.txt", "a/b", "a"):
        with pytest.raises(BadDefinition, match="given twice"):
            resolve(tmp_path, name, field="inputs")
    with pytest.raises(BadDefinition, match="through another file"):
        resolve(tmp_path, "a/b/c.txt/d", field="inputs")


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a//b", "a\0b", "."])
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadDefinition) as caught:
        resolve(tmp_path, name, field="inputs.x")
    assert caught.value.field == "inputs.x"
    assert list(tmp_path.iterdir()) == []
