"""Values of options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asman.cli import known
from asman.cli.options import check_output, find_queue, read_env, read_files
from asman_shared.errors import BadDefinition, BadRequest


def test_a_queue_is_found_by_url_by_name_by_its_owner_s_name_and_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known.remember("https://hub.example/q/secret", "lab")
    assert find_queue("https://hub.example/q/a", None).queue == "a"
    assert find_queue("a", "hub.example").url == "http://hub.example/q/a"
    assert find_queue("@lab", None).url == "https://hub.example/q/secret"
    with pytest.raises(BadRequest, match="ASMAN_QUEUE"):
        find_queue(None, None)
    monkeypatch.setenv("ASMAN_QUEUE", "@lab")
    assert find_queue(None, None).queue == "secret"
    assert find_queue("b", "hub.example").queue == "b"


def test_environment_variables_are_given_or_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPIED", "x=y")
    monkeypatch.delenv("UNSET_HERE", raising=False)
    assert read_env(["A=b=c", "EMPTY=", "COPIED"]) == {"A": "b=c", "EMPTY": "", "COPIED": "x=y"}
    assert read_env(None) == {}
    with pytest.raises(BadDefinition, match="write UNSET_HERE=VALUE"):
        read_env(["UNSET_HERE"])


def test_a_path_with_an_equals_sign_that_exists_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b").write_text("x")
    assert read_files(["a=b"]) == {"a=b": Path("a=b")}
    assert read_files(["c=d/e", "f/g"]) == {"c": Path("d/e"), "g": Path("f/g")}
    with pytest.raises(BadDefinition, match="two files have the name 'g'"):
        read_files(["f/g", "g=h"])


def test_a_folder_for_outputs_is_checked_before_a_job_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    check_output(None)
    check_output(tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"], "nothing is created by the check"
    with pytest.raises(BadRequest, match="is not a folder"):
        check_output(tmp_path / "file" / "deep")
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(PermissionError):
            check_output(tmp_path / "closed" / "new")
