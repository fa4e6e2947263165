"""Who a worker is, by its folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from asman_shared.address import Address
from asman_shared.errors import Unavailable
from asman_worker import load_config, run_worker
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


QUEUE = Address("http://hub", "a-queue")
OTHER = Address("http://hub", "another")


def test_a_short_name_stays_and_can_not_be_computed_without_the_folder(tmp_path: Path) -> None:
    with DataDir.take(tmp_path / "a") as data:
        name = data.short_name("a-queue")
        assert data.short_name("another") != name
        assert data.job_cache("a-queue").name not in hashlib.sha256(b"a-queue").hexdigest()
    with DataDir.take(tmp_path / "a") as again, DataDir.take(tmp_path / "b") as other:
        assert again.short_name("a-queue") == name
        assert other.short_name("a-queue") != name
    assert (tmp_path / "a" / "secret").stat().st_mode & 0o077 == 0


def test_folders_of_an_older_version_are_found(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / hashlib.sha256(b"a-queue").hexdigest()[:8]
    home = tmp_path / "queues" / hashlib.sha256(b"http://hub\na-queue").hexdigest()[:16]
    for each in (cache, home):
        each.mkdir(parents=True)
    (tmp_path / "incarnation").write_text("0" * 32)
    with DataDir.take(tmp_path) as data:
        first, second = data.homes([QUEUE, OTHER])
        assert (first.path, data.job_cache("a-queue")) == (home, cache)
        assert second.path.parent == home.parent
        assert data.homes([QUEUE, OTHER])[1].path == second.path
        assert data.job_cache("another") not in (cache, data.path)


def test_a_worker_does_not_begin_in_a_folder_that_others_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(Unavailable, match=f"other users may enter the data folder {tmp_path}: .*--data-dir, or 'chmod"):
        DataDir.take(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]
    tmp_path.chmod(0o700)
    with DataDir.take(tmp_path) as data:
        assert data.path == tmp_path


def test_a_folder_of_a_worker_that_others_may_enter_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "worker"
    with DataDir.take(folder) as first:
        incarnation = first.incarnation
    folder.chmod(0o777)
    with DataDir.take(folder) as again:
        assert again.incarnation == incarnation
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_worker_does_not_begin_in_a_folder_of_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "worker"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(Unavailable, match="belongs to another user: choose another with --data-dir"):
        DataDir.take(folder)


async def test_the_program_refuses_to_start_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").touch()
    config = load_config(queue="http://127.0.0.1:9/q/a", data_dir=tmp_path, executor="process", ignore_images=True)
    with pytest.raises(Unavailable, match="other users may enter the data folder"):
        await run_worker(config, stop=asyncio.Event())


def test_the_data_folder_of_a_hub_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "hub.sqlite").touch()
    with pytest.raises(Unavailable, match="is the data folder of a hub, and a worker needs one of its own"):
        DataDir.take(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["hub.sqlite"]
