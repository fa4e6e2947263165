"""The error table in the docs is the one in the code."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Literal

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
    plainly,
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


class Every(msgspec.Struct, forbid_unknown_fields=True):
    """One member for each kind of fault."""

    text: Annotated[str, msgspec.Meta(min_length=2, max_length=3)] = "ab"
    form: Annotated[str, msgspec.Meta(pattern="^[0-9]+$")] = "1"
    items: Annotated[list[int], msgspec.Meta(max_length=1)] = []
    members: Annotated[dict[str, int], msgspec.Meta(max_length=1)] = {}
    number: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = None
    share: float = 0.5
    flag: bool = False
    word: Literal["a", "b"] = "a"


class Needy(msgspec.Struct):
    """A member that has to be there."""

    needed: int


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Every, 5, "it must be an object, and is a whole number"),
        (Every, {"text": 5}, "it must be text, and is a whole number"),
        (Every, {"text": "a"}, "it must have at least 2 characters"),
        (Every, {"text": "aaaa"}, "it must have at most 3 characters"),
        (Every, {"form": "x"}, "it does not have the form ^[0-9]+$"),
        (Every, {"items": [1, 2]}, "it must have at most 1 items"),
        (Every, {"items": {}}, "it must be a list, and is an object"),
        (Every, {"members": {"a": 1, "b": 2}}, "it must have at most 1 members"),
        (Every, {"number": 10}, "it must be at most 9"),
        (Every, {"number": 0}, "it must be at least 1"),
        (Every, {"number": "1"}, "it must be a whole number or null, and is text"),
        (Every, {"share": None}, "it must be a number, and is null"),
        (Every, {"flag": 1}, "it must be true or false, and is a whole number"),
        (Every, {"word": "c"}, "'c' is none of its values"),
        (Every, {"texts": 5}, "unknown 'texts'"),
        (Needy, {}, "'needed' is missing"),
    ],
)
def test_faults_are_told_in_words_for_people(kind: type[msgspec.Struct], value: object, says: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    assert plainly(misfit(caught.value)[0]) == says
    assert plainly(says) == says


def test_what_is_wrong_as_a_whole_has_no_place() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(5, Submit)
    assert misfit(caught.value) == ("Expected `object`, got `int`", "")
