"""Tests that failed beside others run once more alone; what fails then counts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import tests as runner

FAILS_ONCE = """
from pathlib import Path

def test_a_busy_machine():
    marker = Path(__file__).with_name("ran")
    ran = marker.exists()
    marker.touch()
    assert ran

def test_broken():
    raise RuntimeError

def test_good():
    pass
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder inside the repository: pytest names tests by their path in it."""
    parent = runner.ROOT / "build"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as made:
        yield Path(made)


def run(folder: Path, *names: str) -> tuple[int, Path]:
    """Runs tests of a file of its own; returns the exit status and the file with the failures."""
    source = folder / "test_of_its_own.py"
    source.write_text(FAILS_ONCE)
    failures = folder / "failures"
    words = [f"{source}::{name}" for name in names]
    return runner.ended(runner.start(*words, "-q", "-p", "no:cacheprovider", failures=failures)), failures


def test_one_that_passes_alone_no_longer_counts_and_is_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = run(folder, "test_a_busy_machine", "test_good")
    assert first[0] == runner.TESTS_FAILED
    assert [name.rpartition("::")[2] for name in first[1].read_text().split()] == ["test_a_busy_machine"]
    capfd.readouterr()
    assert runner.again([first, (0, folder / "none")]) == 0
    said = capfd.readouterr().out
    assert "passed alone, so the machine was too busy" in said
    assert "test_a_busy_machine" in said


def test_one_that_fails_alone_too_counts(folder: Path) -> None:
    assert runner.again([run(folder, "test_a_busy_machine", "test_broken")]) == runner.TESTS_FAILED


def test_no_second_try_for_many_failures_or_a_run_that_did_not_end(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failures = folder / "failures"
    failures.write_text("".join(f"test_{number}\n" for number in range(runner.MOST_AGAIN + 1)))
    assert runner.again([(runner.TESTS_FAILED, failures)]) == runner.TESTS_FAILED
    interrupted = 2
    assert runner.again([run(folder, "test_a_busy_machine"), (interrupted, folder / "none")]) == interrupted
    assert "alone" not in capfd.readouterr().out
