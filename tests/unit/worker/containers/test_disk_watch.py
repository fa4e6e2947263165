"""The disk that a container uses: its own files, its volumes, its outputs and the job cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from aiodocker.exceptions import DockerError

from asman_worker.containers.disk_watch import container_use, watching
from asman_worker.execution import disk_use as module
from asman_worker.execution.disk_use import DiskGuard, DiskUse, folder_use


def written(path: Path, size: int) -> int:
    path.write_bytes(os.urandom(size))
    return path.stat().st_blocks * 512


class Engine:
    """An engine that says how much a container has written, one answer after the other."""

    def __init__(self, *answers: int | Exception, mounts: Any = ()) -> None:
        self.answers = list(answers)
        self.mounts = mounts
        self.volumes: list[dict[str, Any]] = []

    async def _query_json(self, path: str) -> dict[str, Any]:
        if path == "system/df":
            return {"Volumes": self.volumes}
        assert path == "containers/c/json?size=1"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"SizeRw": answer, "Mounts": list(self.mounts)}


async def test_a_job_is_looked_at_until_all_that_it_wrote_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(module, "_SHARE", 0)
    outputs, cache = tmp_path / "outputs", tmp_path / "cache"
    outputs.mkdir()
    cache.mkdir()
    written(cache / "from before", 500_000)
    own = written(outputs / "x", 10_000)
    away = DockerError(500, "the engine is away")
    engine: Any = Engine(0, 5_000, away, 5_001, 10**9)
    async with watching(DiskGuard(tmp_path, most=own + 5_000), engine, outputs, cache) as watch:
        excess = await watch("c")
    assert (excess.fault, "it wrote " in excess.message, "(--disk)" in excess.message) == ("job", True, True)
    assert engine.answers == [10**9]


async def test_what_a_job_writes_to_the_cache_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(module, "_SHARE", 0)
    cache = tmp_path / "cache"
    cache.mkdir()
    written(cache / "from before", 500_000)

    class Writing(Engine):
        async def _query_json(self, path: str) -> dict[str, Any]:
            written(cache / f"new {len(self.answers)}", 40_000)
            return await super()._query_json(path)

    engine: Any = Writing(*[0] * 10)
    async with watching(DiskGuard(tmp_path, most=100_000), engine, tmp_path / "none", cache) as watch:
        excess = await watch("c")
    assert "it wrote 1" in excess.message
    assert len(engine.answers) == 7


async def test_what_a_job_writes_before_it_is_measured_for_the_first_time_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARE", 0)
    cache = tmp_path / "cache"
    cache.mkdir()
    engine: Any = Engine(0)
    async with watching(DiskGuard(tmp_path, most=100_000), engine, tmp_path / "none", cache) as watch:
        written(cache / "at once", 500_000)  # as soon as the container starts
        assert "it wrote " in (await watch("c")).message


async def test_volumes_count_where_they_are_and_otherwise_by_the_engines_word(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    size = written(tmp_path / "volume" / "x", 30_000)
    mounts = [
        {"Type": "volume", "Name": "here", "Source": str(tmp_path / "volume")},
        {"Type": "volume", "Name": "far", "Source": "/no/such/folder"},
        {"Type": "bind", "Source": "/usr"},
    ]
    engine: Any = Engine(7, mounts=mounts)
    engine.volumes = [
        {"Name": "far", "UsageData": {"Size": 1000}},
        {"Name": "here", "UsageData": {"Size": 10**9}},
        {"Name": "of others", "UsageData": {"Size": 10**9}},
    ]
    assert await container_use(engine, "c") == DiskUse(7 + size + 1000, 1)
    assert folder_use(tmp_path / "volume") == DiskUse(size, 1)
