"""Every test that ``docs/worker.md`` names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_NAMED = re.compile(r"`(?:tests/integration/)?([\w/]*test_\w+\.py)(?:::(\w+))?`")


def named() -> list[tuple[str, str]]:
    return sorted(set(_NAMED.findall((ROOT / "docs" / "worker.md").read_text())))


def test_the_table_names_tests() -> None:
    assert len(named()) > 40


@pytest.mark.parametrize(("file", "name"), named())
def test_a_named_test_exists(file: str, name: str) -> None:
    places = ("tests/integration/worker", "tests/unit/worker", "tests/integration")
    texts = [path.read_text() for place in places if (path := ROOT / place / file).exists()]
    assert any(f"def {name}(" in text if name else text for text in texts)
