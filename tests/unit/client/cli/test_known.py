"""The file of the queues that a user has used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asman.cli import known
from asman_shared.errors import BadRequest, NotFound


def test_a_name_belongs_to_one_queue_and_the_latest_use_is_first() -> None:
    known.remember("http://h/q/a", "lab")
    known.remember("http://h/q/b", "lab")
    known.remember("http://h/q/a")
    assert [(each["url"], each["name"]) for each in known.known_queues()] == [
        ("http://h/q/a", ""),
        ("http://h/q/b", "lab"),
    ]
    assert known.named("lab") == "http://h/q/b"
    with pytest.raises(NotFound, match="no queue named 'home'"):
        known.named("home")
    assert [known.forget("http://h/q/b"), known.forget("http://h/q/b")] == [True, False]
    assert [each["url"] for each in known.known_queues()] == ["http://h/q/a"]


def test_a_use_soon_after_the_last_one_is_not_written(tmp_path: Path) -> None:
    known.remember("http://h/q/a")
    file = tmp_path / "settings" / "queues.json"
    before = file.stat()
    known.remember("http://h/q/a")
    assert file.stat().st_ino == before.st_ino
    known.remember("http://h/q/a", "lab")
    assert file.stat().st_ino != before.st_ino


def test_a_name_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("in the way")
    with pytest.raises(OSError, match="settings"):
        known.remember("http://h/q/a", "lab")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 41])
def test_a_name_has_its_characters_and_length(name: str) -> None:
    with pytest.raises(BadRequest, match="not a valid name"):
        known.check_name(name)


def test_a_file_of_queues_that_can_not_be_read_or_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    file = tmp_path / "settings" / "queues.json"
    for text in ("", "{}", "[1, {}]", "nonsense"):
        file.write_text(text)
        assert known.known_queues() == []
    known.remember("http://h/q/a")
    assert [each["url"] for each in known.known_queues()] == ["http://h/q/a"]
    for i in range(known.MOST + 5):
        known.remember(f"http://h/q/q{i}")
    assert len(known.known_queues()) == known.MOST
    file.unlink()
    (tmp_path / "settings").rmdir()
    (tmp_path / "settings").write_text("in the way")
    known.remember("http://h/q/a")
    assert known.known_queues() == []
    assert os.environ["ASMAN_CONFIG_HOME"] == str(tmp_path / "settings")
