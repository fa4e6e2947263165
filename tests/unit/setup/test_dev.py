"""What `make dev` starts again, and when."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.dev import (
    WITHOUT_CONTAINERS,
    CannotRunError,
    Containers,
    Restarted,
    jobs_in,
    newest,
    worker_command,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "part" / "module.py"
    path.parent.mkdir()
    path.write_text("")
    os.utime(path, (1000, 1000))
    return path


@pytest.fixture
def process(source: Path, tmp_path: Path) -> Iterator[Restarted]:
    del source
    made = Restarted("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], ("part",), tmp_path)
    made.start()
    yield made
    made.stop()


def test_a_change_of_the_source_starts_it_again_once(process: Restarted, source: Path) -> None:
    first = process.pid
    assert first is not None
    assert not process.look()
    os.utime(source, (2000, 2000))
    assert process.look()
    assert process.pid not in (None, first)
    assert not process.look()


def test_what_ended_by_itself_starts_again_with_the_next_change(source: Path, tmp_path: Path) -> None:
    process = Restarted("broken", [sys.executable, "-c", "raise SystemExit(1)"], ("part",), tmp_path)
    process.start()
    while process.pid is not None:
        pass
    assert not process.look()
    os.utime(source, (2000, 2000))
    assert process.look()
    process.stop()


def test_only_python_files_of_its_own_parts_count(source: Path, tmp_path: Path) -> None:
    (tmp_path / "part" / "notes.txt").write_text("")
    other = tmp_path / "other"
    other.mkdir()
    (other / "new.py").write_text("")
    assert newest(("part",), tmp_path) == 1000
    assert newest(("nothing",), tmp_path) == 0
    assert source.exists()


def test_without_an_engine_jobs_do_not_run_unless_the_developer_asks_for_plain_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.delenv(WITHOUT_CONTAINERS, raising=False)
    with ExitStack() as stack:
        with pytest.raises(CannotRunError, match=f"start Docker, or run `{WITHOUT_CONTAINERS}=1 make dev`"):
            jobs_in(stack)
        monkeypatch.setenv(WITHOUT_CONTAINERS, "0")
        with pytest.raises(CannotRunError):
            jobs_in(stack)
        monkeypatch.setenv(WITHOUT_CONTAINERS, "1")
        assert jobs_in(stack) == Containers("process", None)


def test_its_queue_can_not_be_guessed_and_is_the_same_the_next_time(tmp_path: Path) -> None:
    command = worker_command("http://127.0.0.1:1", tmp_path, Containers("docker", None))
    file = Path(command[command.index("--queue-file") + 1])
    url = file.read_text().strip()
    queue = url.removeprefix("http://127.0.0.1:1/q/")
    assert len(queue) >= 20
    assert "/" not in queue
    assert queue not in " ".join(command)
    assert file.stat().st_mode & 0o077 == 0
    worker_command("http://127.0.0.1:1", tmp_path, Containers("docker", None))
    assert file.read_text().strip() == url
    other = tmp_path / "other"
    other.mkdir()
    worker_command("http://127.0.0.1:1", other, Containers("docker", None))
    assert (other / "worker-queue").read_text().strip() != url
