"""Patterns of strangers: found in lines, or refused in a sentence, and never large."""

from __future__ import annotations

import pytest

from asman_server.logs.patterns import PROGRAM_STEPS, Pattern
from asman_shared.errors import BadRequest


def test_a_pattern_is_found_anywhere_in_a_line() -> None:
    pattern = Pattern("err(or)?: \\d+")
    assert pattern.found("the error: 17 is bad")
    assert not pattern.found("error: none")


def test_case_counts_unless_it_is_to_be_ignored() -> None:
    assert not Pattern("Error").found("an error")
    assert Pattern("Error", ignore_case=True).found("an ERROR")


def test_an_empty_pattern_is_in_every_line() -> None:
    assert Pattern("").found("")


def test_characters_of_any_language_are_one_each() -> None:
    assert Pattern("^gr.n$").found("grün")


@pytest.mark.parametrize("text", ["(", "[a", "a**", "(?=look)", "(a)\\1", "*"])
def test_what_is_no_pattern_of_this_syntax_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadRequest, match=r"the pattern can't be used: .*\\Q") as caught:
        Pattern(text)
    assert caught.value.field == "grep"


def test_half_a_character_is_refused() -> None:
    with pytest.raises(BadRequest, match="lone surrogate"):
        Pattern("\ud800")


def test_a_pattern_that_takes_many_steps_is_refused_and_a_long_one_that_does_not_is_taken() -> None:
    assert Pattern("a" * (PROGRAM_STEPS // 2)).found("a" * PROGRAM_STEPS)
    with pytest.raises(BadRequest, match="too large"):
        Pattern("a" * (PROGRAM_STEPS + 1))
    with pytest.raises(BadRequest, match="too large"):
        Pattern("(abcde){1000}(fghij){1000}")


def test_a_pattern_that_would_stall_others_ends() -> None:
    assert not Pattern("(a+)+$").found("a" * 50_000 + "b")
