"""The check that no package registry is named in the repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.registry_hosts import hosts, main, mentions


def test_hosts_are_those_of_addresses_in_any_setting() -> None:
    texts = [
        "global.index-url='https://user:word@mirror.example/simple'\nhttp://127.0.0.1:3141/ http://localhost:4873/",
        "deb [signed-by=/x] http://packages.example/debian stable main\nURIs: https://packages.example:8443/y",
        "undefined",
    ]
    assert hosts(texts) == ["mirror.example", "packages.example"]
    assert hosts([]) == []


@pytest.mark.parametrize("tracked", [False, True])
def test_each_line_that_names_one_is_found(tmp_path: Path, tracked: bool) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True, timeout=20)
    (tmp_path / "a.txt").write_text("one\nget it at https://Mirror.Example/x\n")
    (tmp_path / "b.txt").write_text("mirror-example\n")
    if tracked:
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True, timeout=20)
    assert mentions(tmp_path, ["mirror.example"]) == "a.txt:2:get it at https://Mirror.Example/x\n"
    assert mentions(tmp_path, ["other.example"]) == ""
    assert mentions(tmp_path, []) == ""


def test_this_repository_names_none() -> None:
    assert main() == 0
