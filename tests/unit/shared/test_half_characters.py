"""Half characters: only the text that has one can't be read, and its place is known."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared import half_characters

TEXTS = st.text(st.characters(categories=("L", "P", "Cc", "So", "Cs"), include_characters='\\"ud8'), max_size=20)


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8))
def test_a_document_is_split_as_without_halves_and_means_the_same(value: Any) -> None:
    made = half_characters.in_bytes(json.dumps(value).encode())
    msgspec.json.decode(made, type=msgspec.Raw)
    assert json.loads(made) == json.loads(json.dumps(value))
    if not any("\ud800" <= letter <= "\udfff" for letter in json.dumps(value, ensure_ascii=False)):
        assert half_characters.place(made) is None


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8))
def test_a_document_without_its_half_characters_is_the_same_with_another_character(value: Any) -> None:
    document = json.dumps(value).encode()
    made = msgspec.json.decode(half_characters.replaced(document))
    whole = json.dumps(json.loads(document), ensure_ascii=False)
    halves = [letter for letter in whole if "\ud800" <= letter <= "\udfff"]
    for half in halves:
        whole = whole.replace(half, "\ufffd")
    assert made == json.loads(whole)
    if not halves:
        assert half_characters.replaced(document) == document


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (rb'"\ud800"', ""),
        (rb'{"a": [1, {"b": "x\udfff"}]}', "a[1].b"),
        (rb'{"a": {"\ud800": 1}}', "a"),
        (rb'[["", "\udbff\ud800"]]', "[0][1]"),
        (rb'"\ud83d\ude00"', None),
        (rb'"\\ud800"', None),
        (b"{", None),
        (b"[" * 100_000, None),
        (b'"\xed\xa0\x80"', ""),
        (b'"\xff"', None),
    ],
)
def test_the_place_of_the_first_one_is_found(document: bytes, place: str | None) -> None:
    assert half_characters.place(document) == place


def test_a_place_with_long_names_is_cut() -> None:
    place = half_characters.place(json.dumps({"a" * 100_000: "\ud83d"}).encode())
    assert place == "a" * (half_characters.PATH_LENGTH - 1) + "…"
