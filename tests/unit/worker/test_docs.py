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


def cells() -> list[tuple[str, str, str]]:
    """The promise, the executor and the text of each cell of the matrix."""
    text = (ROOT / "docs" / "worker.md").read_text().partition("### Promises by executor")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    head = next(row for row in rows if row[0] == "promise")
    body = [row for row in rows[rows.index(head) + 1 :] if len(row) == len(head)]
    return [(row[0], name, cell) for row in body for name, cell in zip(head[1:], row[1:], strict=True)]


def test_each_cell_of_the_matrix_is_a_test_that_is_named_below_it_or_no() -> None:
    text = (ROOT / "docs" / "worker.md").read_text().partition("### Promises by executor")[2]
    named_below = dict(re.findall(r"^- \*([\w ]+)\*: (`[^`]+`)$", text, re.MULTILINE))
    assert all(_NAMED.fullmatch(each) for each in named_below.values())
    assert len(cells()) >= 6 * 15
    assert {cell.strip("*") for _, _, cell in cells() if cell != "no"} == set(named_below)
    for promise, executor, cell in cells():
        assert cell == "no" or cell.strip("*") in named_below, (promise, executor, cell)
