"""The version of Asman stands in one file, and everything that states it reads that file."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import asman
import asman_server
from asman.connection import AGENT
from asman_shared.version import __version__

ROOT = Path(__file__).resolve().parents[3]
FILE = "shared/asman_shared/version.py"


def test_the_installed_distribution_and_every_package_have_it() -> None:
    assert metadata.version("asman") == __version__, "run: make setup"
    assert asman.__version__ == asman_server.__version__ == __version__
    assert f"asman-python/{__version__}" == AGENT


def test_the_build_reads_it_from_its_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == FILE
    assert "version" not in json.loads((ROOT / "web" / "package.json").read_text())


def test_no_other_source_states_it() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.toml", "*.ts", "*.tsx", "*.sh", "*.yaml", "deploy/*"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert FILE in listed
    stated = re.compile(rf"[\"'/]{re.escape(__version__)}[\"']")
    found = [each for each in listed if (ROOT / each).is_file() and stated.search((ROOT / each).read_text())]
    assert found == [FILE]
