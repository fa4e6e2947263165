"""Folders that an operator shares: what can be shared, and that no path leads out of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman_shared.errors import BadRequest, ExecutionError
from asman_shared.places.urls import FOLDER_LENGTH, FOLDERS
from asman_worker.files.s3_buckets import S3Buckets
from asman_worker.files.shared_folders import SharedFolders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    made.mkdir()
    (tmp_path / "secret").write_text("secret")
    (made / "out").symlink_to(tmp_path)
    (made / "dangling").symlink_to(tmp_path / "new")
    return made


def shared(folder: Path, end: str = ":rw") -> SharedFolders:
    return SharedFolders.of([f"{folder}{end}"], folder.parent / "data")


def test_what_jobs_must_not_have_is_not_shared(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "in").mkdir(parents=True)
    (folder / "to-data").symlink_to(data)
    (folder / "a:b").mkdir()
    (folder / "file").touch()
    refused = ["/", "srv", "", f"{folder}/", f"{folder}/../shared", f"{folder}/none", f"{folder}/file", f"{folder}/a:b"]
    refused += ["/proc", "/dev/shm", str(data), str(data / "in"), str(tmp_path), f"{folder}/to-data"]
    for path in refused:
        with pytest.raises(BadRequest, match="can't be shared with jobs"):
            SharedFolders.of([path], data)
    with pytest.raises(BadRequest, match="twice"):
        SharedFolders.of([str(folder), f"{folder}:rw"], data)
    with pytest.raises(BadRequest, match=f"at most {FOLDERS}"):
        SharedFolders.of([str(folder)] * (FOLDERS + 1), data)


def test_no_folder_is_shared_that_lies_where_jobs_may_write(tmp_path: Path) -> None:
    data, outer = tmp_path / "data", tmp_path / "outer"
    inner = outer / "in"
    inner.mkdir(parents=True)
    (link := tmp_path / "link").symlink_to(inner)
    for options in ([f"{outer}:rw", str(inner)], [str(inner), f"{outer}:rw"], [f"{outer}:rw", f"{inner}:rw"]):
        with pytest.raises(BadRequest, match="where jobs may write"):
            SharedFolders.of(options, data)
    with pytest.raises(BadRequest, match="can't be shared"):
        SharedFolders.of([f"{outer}:rw", str(link)], data)
    assert SharedFolders.of([str(outer), f"{inner}:rw"], data).root_of(f"{inner}/x", writing=True) == (str(inner), True)


def test_the_path_of_a_folder_fits_into_a_tag(tmp_path: Path) -> None:
    longest = f"{tmp_path}/".ljust(FOLDER_LENGTH, "x")
    Path(longest).mkdir()
    tags = SharedFolders.of([f"{longest}:rw"], tmp_path / "data").tags
    assert max(map(len, tags)) == 128
    Path(f"{longest}x").mkdir()
    with pytest.raises(BadRequest, match=f"more than {FOLDER_LENGTH} bytes"):
        SharedFolders.of([f"{longest}x"], tmp_path / "data")


def test_a_file_is_written_whole_and_replaces_a_link_instead_of_following_it(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("new")
    with source.open("rb") as file:
        shared(folder).write(f"{folder}/dangling", file)
    assert (folder / "dangling").read_text() == "new"
    assert not (folder / "dangling").is_symlink()
    assert not (tmp_path / "new").exists()
    (folder / "taken").mkdir()
    with source.open("rb") as file, pytest.raises(ExecutionError, match="taken"):
        shared(folder).write(f"{folder}/taken", file)
    with source.open("rb") as file, pytest.raises(ExecutionError, match="links are not followed"):
        shared(folder).write(f"{folder}/out/x", file)
    with source.open("rb") as file, pytest.raises(ExecutionError, match=r"--shared-folder PATH:rw"):
        shared(folder, "").write(f"{folder}/x", file)
    assert sorted(each.name for each in folder.iterdir()) == ["dangling", "out", "taken"]


def test_a_file_is_read_without_links_and_within_bounds(folder: Path, tmp_path: Path) -> None:
    (folder / "x").write_text("12345")
    shared(folder, "").copy_file(f"{folder}/x", tmp_path / "one", 5)
    assert (tmp_path / "one").read_text() == "12345"
    for name, says in (("x", "most that this worker copies"), ("out/secret", "links"), ("dangling", "links")):
        with pytest.raises(ExecutionError, match=says):
            shared(folder, "").copy_file(f"{folder}/{name}", tmp_path / "two", 4)
    with pytest.raises(ExecutionError, match="--shared-folder PATH"):
        shared(folder).copy_file(str(tmp_path / "secret"), tmp_path / "two", 100)
    with pytest.raises(ExecutionError, match="a shared folder itself"):
        shared(folder).copy_file(str(folder), tmp_path / "two", 100)


def test_a_folder_is_copied_without_its_links_and_within_bounds(folder: Path, tmp_path: Path) -> None:
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/x").write_text("123")
    (folder / "a/y").write_text("45")
    (folder / "a/out").symlink_to(tmp_path)
    to = tmp_path / "to"
    to.mkdir()
    shared(folder).copy_folder(f"{folder}/a", to, 5)
    assert sorted(str(each.relative_to(to)) for each in to.rglob("*")) == ["b", "b/x", "y"]
    (tmp_path / "to2").mkdir()
    with pytest.raises(ExecutionError, match="most that this worker copies"):
        shared(folder).copy_folder(f"{folder}/a", tmp_path / "to2", 4)
    with pytest.raises(ExecutionError, match="links are not followed"):
        shared(folder).copy_folder(f"{folder}/out", tmp_path / "to2", 4)


def test_buckets_are_named_each_once() -> None:
    assert S3Buckets.named(["b-1", "b-2:rw"]) == {"b-1": False, "b-2": True}
    for wrong in (["b"], ["b-1/x"], ["b-1", "b-1:rw"], [f"b-{number}" for number in range(FOLDERS + 1)]):
        with pytest.raises(BadRequest, match="bucket"):
            S3Buckets.named(wrong)
    with pytest.raises(ExecutionError, match="--s3-bucket b-1:rw"):
        S3Buckets({"b-1": False}).check("b-1", writing=True)
