"""The error table in the docs is the one in the code."""

from __future__ import annotations

import inspect
from pathlib import Path

import msgspec
import pytest

from asman_shared.errors import (
    CLOSE_REASONS,
    ERROR_CODES,
    SENTENCE_LENGTH,
    AsmanError,
    CloseCode,
    NotFound,
    error_for,
    misfit,
)
from asman_shared.messages import Submit
from scripts import range_docs

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"


def error_rows() -> list[str]:
    """The rows of the page's first table."""
    return [
        f"| `{code}` | {cls.status} | {'yes' if cls.retry else 'no'} | {(inspect.getdoc(cls) or '').splitlines()[0]} |"
        for code, cls in sorted(ERROR_CODES.items())
    ]


def close_rows() -> list[str]:
    """The rows of the page's second table."""
    return [f"| {code.value} | {code.name} | {CLOSE_REASONS.get(code, '')} |" for code in CloseCode]


def test_every_error_and_close_code_is_in_the_docs() -> None:
    lines = PAGE.read_text().splitlines()
    for row in error_rows() + close_rows():
        assert row in lines, f"docs/errors.md lacks: {row}"


def test_errors_from_the_wire_become_their_class_and_unknown_ones_the_base() -> None:
    assert isinstance(error_for("not_found", "x"), NotFound)
    unknown = error_for("from_the_future", "x", "f")
    assert type(unknown) is AsmanError
    assert unknown.field == "f"


def test_the_table_of_ranges_is_current() -> None:
    assert range_docs.FILE.read_text() == range_docs.document(), "run: python -m scripts.range_docs"
    assert "| `submit.priority` | integer from -100 to 100 |" in PAGE.read_text()


@pytest.mark.parametrize(
    ("more", "says", "path"),
    [
        ({"priority": "high"}, "Expected `int`, got `str`", "priority"),
        ({"definition": {"env": {"A": 1}}}, "Expected `str`, got `int`", "definition.env[...]"),
        ({"phase_limits": {"baking": 1}}, "Invalid enum value 'baking'", "phase_limits"),
        ({"phase_limits": {"pulling": "soon"}}, "Expected `int`, got `str`", "phase_limits[...]"),
    ],
)
def test_the_sentence_and_the_place(more: dict[str, object], says: str, path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"type": "submit", "ref": 1, "definition": {}, **more}, Submit)
    assert misfit(caught.value) == (says, path)


def test_a_sentence_that_quotes_a_long_text_is_cut_and_keeps_its_place() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"type": "submit", "ref": 1, "definition": {}, "phase_limits": {"x" * 100_000: 1}}, Submit)
    says, path = misfit(caught.value)
    assert (len(says), says[-1], path) == (SENTENCE_LENGTH, "…", "phase_limits")


def test_what_is_wrong_as_a_whole_has_no_place() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(5, Submit)
    assert misfit(caught.value) == ("Expected `object`, got `int`", "")
