"""Files and folders without permission: the error names them, and nothing is left half done."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from devtools.asman_processes import asman

ORDINARY = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
"""A prefix for a command that makes permissions apply to it even if root runs it."""
HINT = "hint: choose another path, or ask its owner for permission to read and write there\n"


def refused(*words: str, **environment: str) -> str:
    """Checks the error of a command that lacks a permission."""
    ended: CompletedProcess[str] = asman(*words, before=ORDINARY, environment=environment)
    assert (ended.returncode, ended.stdout) == (125, ""), ended
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file without read permission, in a folder of its own."""
    file = tmp_path / "folder" / "secret"
    file.parent.mkdir()
    file.write_text("secret")
    file.chmod(0)
    return file


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder without write permission."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    return folder


def test_a_file_that_can_not_be_read_is_named_and_nothing_is_submitted(up: str, secret: Path) -> None:
    says = f"error: '{secret}' can't be read: Permission denied\n"
    before = asman("job", "list", up, "--json").stdout
    assert refused("run", up, "-f", str(secret), "--", "true") == says
    assert refused("job", "add", up, "-f", str(secret.parent), "-c", "true") == says
    assert refused("blob", "put", up, str(secret)) == says
    assert asman("job", "list", up, "--json").stdout == before
    usage = asman("run", up, "--dockerfile", str(secret), before=ORDINARY)
    assert (usage.returncode, usage.stdout) == (2, "")
    assert usage.stderr.endswith(f"Invalid value for '--dockerfile': Path '{secret}' is not readable.\n")


def test_a_folder_that_can_not_be_written_is_told_before_the_job_is_run(up: str, secret: Path, locked: Path) -> None:
    says = f"error: '{locked}' can't be used: Permission denied\n{HINT}"
    before = asman("job", "list", up, "--json").stdout
    assert refused("run", up, "-o", str(locked / "deep" / "out"), "--", "true") == says
    assert refused("job", "add", up, "--wait", "-o", str(locked), "-c", "true") == says
    assert refused("run", up, "-o", str(secret / "out"), "--", "true") == (
        f"error: outputs can't be saved in '{secret / 'out'}': '{secret}' is not a folder\n"
    )
    assert asman("job", "list", up, "--json").stdout == before
    key = asman("blob", "put", up, str(Path(__file__))).stdout.strip()
    file = locked / "file"
    assert (
        refused("blob", "get", up, key, "-o", str(file)) == f"error: '{file}' can't be used: Permission denied\n{HINT}"
    )
    assert list(locked.iterdir()) == []


def test_known_queues_that_can_not_be_read_or_written_are_no_trouble_until_they_are_asked_for(
    up: str, tmp_path: Path, locked: Path
) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    file = settings / "queues.json"
    file.write_text(f'[{{"url": "{up}", "name": "lab", "used": 1}}]')
    file.chmod(0)
    says = f"error: '{file}' can't be used: Permission denied\n{HINT}"
    config = {"ASMAN_CONFIG_HOME": str(settings)}
    assert refused("queue", "list", **config) == says
    assert refused("job", "list", "@lab", **config) == says
    assert refused("queue", "new", "--as", "other", **config) == says
    assert asman("job", "list", up, before=ORDINARY, environment=config).returncode == 0
    file.chmod(0o600)
    assert "lab" in file.read_text()
    assert asman("queue", "new", before=ORDINARY, environment={"ASMAN_CONFIG_HOME": str(locked)}).returncode == 0
    assert "Permission denied" in refused("queue", "new", "--as", "other", ASMAN_CONFIG_HOME=str(locked))


@pytest.mark.parametrize("words", [["hub"], ["up"], ["worker", "http://127.0.0.1:9/q/x", "--executor", "process"]])
def test_a_data_folder_that_can_not_be_used_is_told_at_start(locked: Path, words: list[str]) -> None:
    said = refused(*words, "--data-dir", str(locked / "data"))
    assert said.startswith("error: ")
    assert str(locked / "data") in said
    assert "Permission denied" in said
    assert len(said.splitlines()) <= 2


@pytest.mark.parametrize("words", [["hub", "--config"], ["worker", "http://127.0.0.1:9/q/x", "--registry-auth"]])
def test_settings_that_can_not_be_read_are_told_at_start(secret: Path, words: list[str]) -> None:
    ended = asman(*words, str(secret), before=ORDINARY)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith(f"Invalid value for '{words[-1]}': Path '{secret}' is not readable.\n")
