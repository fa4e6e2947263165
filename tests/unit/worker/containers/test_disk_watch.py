"""The disk that a running job uses: all of it is counted, and nothing that its links point to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from aiodocker.exceptions import DockerError

from asman_worker.containers import disk_watch as module
from asman_worker.containers.disk_watch import folder_size, outgrown


def written(path: Path, size: int) -> int:
    path.write_bytes(os.urandom(size))
    return path.stat().st_blocks * 512


def test_everything_in_a_folder_is_counted_at_any_depth(tmp_path: Path) -> None:
    before = folder_size(tmp_path)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    folders = folder_size(tmp_path)
    assert folder_size(tmp_path) - folders == 0
    assert before == 0
    sizes = written(tmp_path / "x", 10_000) + written(deep / "y", 50_000)
    assert folder_size(tmp_path) == folders + sizes


def test_links_are_not_followed_and_holes_take_no_room(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    written(outside / "large", 500_000)
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "large")
    (folder / "loop").symlink_to(folder)
    with (folder / "hole").open("wb") as file:
        file.truncate(10**9)
    assert folder_size(folder) < 100_000


def test_a_folder_that_is_not_there_has_no_size(tmp_path: Path) -> None:
    assert folder_size(tmp_path / "none") == 0


class Engine:
    """An engine that says how much a container has written, one answer after the other."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)

    async def _query_json(self, path: str) -> dict[str, Any]:
        assert path == "containers/c/json?size=1"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"SizeRw": answer}


async def test_a_job_is_looked_at_until_container_and_outputs_together_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEAST_SECONDS", 0)
    monkeypatch.setattr(module, "_SHARE", 0)
    own = written(tmp_path / "x", 10_000)
    away = DockerError(500, "the engine is away")
    engine: Any = Engine(0, 5_000, away, 5_001, 10**9)
    assert await outgrown(engine, "c", tmp_path, own + 5_000) == own + 5_001
    assert engine.answers == [10**9]
