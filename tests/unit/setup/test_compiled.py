"""What is compiled, and how one knows what state it is in."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from build_tools import compiled


@pytest.mark.parametrize("module", compiled.MODULES)
def test_a_module_that_is_compiled_has_a_source_that_means_the_same_then(module: str) -> None:
    assert compiled.refused(compiled.source_of(module).read_text()) == []


def test_what_compiling_would_change_is_refused() -> None:
    struct = "class A(msgspec.Struct, gc=False):\n    a: int\n"
    assert compiled.refused(struct) == ["line 1: A is a Struct, and mypyc drops its options"]
    lazily = "first = next(made(i) for i in islice(x, 3))\nfound = merge(a for a in b)\nall(a for a in b)\n"
    assert len(compiled.refused(lazily)) == 2
    assert compiled.refused("def f():\n    return (a for a in b)\n") == ["line 2: a list instead of a generator"]
    assert compiled.refused("x = (a for a in b) if c else d\n") == ["line 1: a list instead of a generator"]


@pytest.mark.parametrize("module", compiled.MODULES)
def test_tests_import_the_sources(module: str) -> None:
    assert importlib.import_module(module).__file__ == str(compiled.source_of(module))


def test_a_source_that_was_changed_makes_it_stale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = tmp_path / "made.so"
    there.touch()
    monkeypatch.setattr(compiled, "made", lambda: [there])
    monkeypatch.setattr(compiled, "made_of", lambda module: there)
    monkeypatch.setattr(compiled, "STAMP", tmp_path / "stamp")
    assert compiled.state() == "stale"
    compiled.STAMP.write_text(compiled.digest())
    assert compiled.state() == "fresh"
    monkeypatch.setattr(compiled, "PACKAGES", (*compiled.PACKAGES, tmp_path))
    (tmp_path / "changed.py").write_text("#")
    assert compiled.state() == "stale"
    monkeypatch.setattr(compiled, "made", list)
    assert compiled.state() == "none"
