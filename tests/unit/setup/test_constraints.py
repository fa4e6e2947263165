"""The constraints file names one exact version of everything, and no place to get it from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_EXACT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!]+")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_every_line_is_an_exact_version() -> None:
    assert [line for line in _lines() if not _EXACT.fullmatch(line)] == []


def test_every_dependency_has_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {_normal(re.split(r"[\[<>=;!~ ]", one)[0]) for one in asked}
    pinned = [_normal(line.partition("==")[0]) for line in _lines()]
    assert names - set(pinned) == set(), "run: make constraints"
    assert len(pinned) == len(set(pinned))
    assert "asman" not in pinned
