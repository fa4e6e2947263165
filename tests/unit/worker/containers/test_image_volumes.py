"""Mounts in the place of the volumes that an image declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.errors import ExecutionError
from asman_worker.containers.image_volumes import own_binds, resolved
from asman_worker.execution.folders import JobFolder


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "a-1")
    made.make()
    return made


def test_a_volume_inside_our_folders_is_the_jobs_own_and_others_stay_the_engines(folder: JobFolder) -> None:
    (folder.inputs / "file").write_text("x")
    binds = own_binds(
        folder,
        {"/outputs": folder.outputs},
        ["/outputs", "/outputs/a/b", "/inputs/file", "/inputs/new", "/outputs2/x", "/data:x", "/dev/shm", "/sys"],
    )
    assert binds == [
        f"{folder.outputs}/a/b:/outputs/a/b:z",
        f"{folder.inputs}/file:/inputs/file:ro,z",
        f"{folder.inputs}/new:/inputs/new:ro,z",
    ]
    modes = [(folder.outputs / name).stat().st_mode & 0o777 for name in ("a", "a/b")]
    assert (modes, (folder.inputs / "new").stat().st_mode & 0o777) == ([0o777] * 2, 0o755)


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ("/job-cache/x", "inside /job-cache"),
        ("/outputs/a:b", "a ':'"),
        ("/inputs/file/x", "is inside the file /inputs/file"),
        ("/outputs/link/x", "is inside the file /outputs/link"),
        ("/outputs/link", "is a link"),
        ("/", "can't start"),
        ("/dev", "can't start"),
        ("/dev/null", "can't start"),
        ("/proc/self", "can't start"),
    ],
)
def test_what_can_not_be_mounted_safely_is_refused(folder: JobFolder, tmp_path: Path, volume: str, why: str) -> None:
    (folder.inputs / "file").write_text("x")
    (folder.outputs / "link").symlink_to(tmp_path)
    with pytest.raises(ExecutionError, match=why):
        own_binds(folder, {"/outputs": folder.outputs}, [volume])
    assert not (tmp_path / "x").exists()


def test_the_links_on_the_way_are_replaced() -> None:
    links = {"/a": "/real", "/a/b": "/outputs"}
    assert resolved("/a/b/c", links) == "/outputs/c"
    assert resolved("/a/c", links) == "/real/c"
    assert resolved("/b/a", links) == "/b/a"
