"""Every test that ``docs/promises.md`` names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named() -> list[tuple[str, str]]:
    return sorted(set(_NAMED.findall((ROOT / "docs" / "promises.md").read_text())))


def test_the_table_names_tests() -> None:
    assert len(named()) > 80


@pytest.mark.parametrize(("file", "name"), named())
def test_a_named_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    found |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert name in found


def test_every_promise_has_a_test_or_says_later() -> None:
    rows = [line for line in (ROOT / "docs" / "promises.md").read_text().splitlines() if line.startswith("| ")]
    for row in rows:
        _, _, _, tests, _ = row.split("|")
        assert _NAMED.search(tests) or "later" in tests or tests.strip() == "test", row
