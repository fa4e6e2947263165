"""The error table in the docs is the one in the code."""

from __future__ import annotations

import inspect
from pathlib import Path

from asman_shared.errors import CLOSE_REASONS, ERROR_CODES, AsmanError, CloseCode, NotFound, error_for

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
