"""Two checkouts share the installed packages exactly when nothing differs between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.commits.environments import dependencies, pins, same_packages
from bench.commits.scenarios import Unusable

PROJECT = """\
[project]
name = "asman"
dependencies = ["aiohttp>=3.12", "typer>=0.15,<0.29"]
[project.optional-dependencies]
hub = ["sqlalchemy[asyncio]>=2", "uvloop>=0.21; sys_platform != 'win32'"]
other = ["never"]
"""
PINS = "# the exact versions\naiohttp==3.14.5\nTyper==0.28.0  # held back\n\n"


def _checkout(folder: Path, project: str = PROJECT, pinned: str = PINS) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(project)
    (folder / "constraints.txt").write_text(pinned)
    return folder


def test_dependencies_are_names_and_those_of_the_extras_that_are_installed(tmp_path: Path) -> None:
    assert dependencies(_checkout(tmp_path / "a")) == {"aiohttp", "typer", "sqlalchemy", "uvloop"}


def test_pins_are_read_without_comments(tmp_path: Path) -> None:
    assert pins(_checkout(tmp_path / "a")) == {"aiohttp==3.14.5", "typer==0.28.0"}


def test_packages_are_shared_where_versions_are_equal_whatever_the_bounds(tmp_path: Path) -> None:
    here = _checkout(tmp_path / "here", PROJECT.replace(">=3.12", ">=3.12,<4"))
    there = _checkout(tmp_path / "there", pinned="typer==0.28.0\naiohttp==3.14.5\n")
    assert same_packages(there, here)


def test_packages_are_not_shared_where_a_version_or_a_dependency_differs(tmp_path: Path) -> None:
    here = _checkout(tmp_path / "here")
    assert not same_packages(_checkout(tmp_path / "older", pinned=PINS.replace("3.14.5", "3.14.4")), here)
    assert not same_packages(_checkout(tmp_path / "more", PROJECT.replace('"typer>', '"rich", "typer>')), here)


def test_a_commit_without_pins_is_told(tmp_path: Path) -> None:
    old = _checkout(tmp_path / "old")
    (old / "constraints.txt").unlink()
    with pytest.raises(Unusable, match=r"it has no constraints\.txt"):
        same_packages(old, _checkout(tmp_path / "here"))
