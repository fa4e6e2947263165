"""What `make dev` starts again, and when."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.dev import Restarted, newest


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
