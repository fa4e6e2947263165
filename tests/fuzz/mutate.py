"""Makes new inputs from old ones: texts by their characters, JSON values by their structure."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

LONGEST = 200_000
"""Largest number of characters that a mutation makes."""
DEEPEST = 250
"""Deepest nesting of a value; the fuzzer itself copies and writes values by recursion."""
_CHARS = "\r\n\t \\/'\"$`{}[]#:;,.*?!-=@%&0aZ\0\x0b\x85\xa0é\u2028😀"
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 - 1, 2**53, -(2**63), 2**64 - 1, 0.5, -1e308, 1e308,
    "", "a", "0", "..", "/", "../x", "a\0b", "é", "😀", "\r\n", "a" * 300, [], {}, [[]], {"": ""}, {"type": "x"},
)  # fmt: skip


def mutate(given: Any, dice: random.Random, words: Sequence[str], others: Sequence[Any]) -> Any:
    """Returns a new input.

    Args:
        given: An old one, which is not changed.
        dice: Makes all choices.
        words: Pieces to put in.
        others: Inputs of which parts may be taken.
    """
    made = copy.deepcopy(given) if not isinstance(given, str) else given
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        if isinstance(made, str):
            made = mutate_text(made, dice, words, [each for each in others if isinstance(each, str)])
        else:
            made = mutate_value(made, dice, words, others)
            if _depth(made) > DEEPEST:
                return given
    return made


def mutate_text(text: str, dice: random.Random, words: Sequence[str], others: Sequence[str]) -> str:
    """Returns a text with one change."""
    start = dice.randint(0, len(text))
    end = min(len(text), start + dice.choice((0, 1, 1, 2, 4, 16)))
    piece = text[start:end]
    match dice.randrange(9):
        case 0:
            piece = ""
        case 1 | 2:
            piece = dice.choice(_CHARS)
        case 3 | 4 if words:
            piece += dice.choice(words)
        case 5:
            piece = piece * dice.choice((2, 3, 30))
        case 6 if others:
            other = dice.choice(others)
            at = dice.randint(0, len(other))
            piece = other[at : at + dice.choice((4, 16, 64))]
        case 7 if dice.random() < 0.15:
            # Many of one thing: what takes time that is not in proportion to its length shows itself.
            many = dice.choice([piece or " ", *words, *"\n {\\$"])
            piece = many * (dice.choice((3_000, LONGEST // 2)) // len(many))
        case _:
            other = dice.choice(text) if text else " "
            piece = other + piece
    return (text[:start] + piece + text[end:])[:LONGEST]


def mutate_value(value: Any, dice: random.Random, words: Sequence[str], others: Sequence[Any]) -> Any:
    """Returns a JSON value with one change somewhere inside."""
    places = list(_places(value))
    if not places:
        return copy.deepcopy(dice.choice(_VALUES))
    box, key = dice.choice(places)
    if words and isinstance(box[key], str) and dice.random() < 0.02:
        word = dice.choice(words)
        box[key] = word * (dice.choice((3_000, LONGEST // 2)) // len(word))
        return value
    match dice.randrange(8):
        case 0:
            del box[key]
        case 1 | 2:
            box[key] = copy.deepcopy(dice.choice(_VALUES))
        case 3 | 4 if isinstance(box[key], str):
            box[key] = mutate_text(box[key], dice, words, ())
        case 5 if others:
            some = list(_places(dice.choice(others)))
            if some:
                from_box, from_key = dice.choice(some)
                box[key] = copy.deepcopy(from_box[from_key])
        case 6 if isinstance(box, list):
            box.insert(key, copy.deepcopy(box[key]))
        case 6:
            box[dice.choice([*words, str(key) + "_", ""])] = copy.deepcopy(box[key])
        case 7 if dice.random() < 0.1:
            for _ in range(dice.choice((5, 90, 150))):
                box[key] = [box[key]] if dice.random() < 0.5 else {"a": box[key]}
        case _:
            if isinstance(box[key], int) and not isinstance(box[key], bool):
                box[key] = box[key] + dice.choice((-1, 1, -(2**32), 2**32))
            elif words:
                box[key] = dice.choice(words)
    return value


def _places(value: Any) -> Any:
    """Yields container and key of everything inside a value."""
    pending = [value]
    while pending:
        box = pending.pop()
        keys = list(box) if isinstance(box, dict) else range(len(box)) if isinstance(box, list) else ()
        for key in keys:
            yield box, key
            pending.append(box[key])


def _depth(value: Any) -> int:
    deepest, pending = 0, [(value, 0)]
    while pending:
        box, depth = pending.pop()
        deepest = max(deepest, depth)
        inner = box.values() if isinstance(box, dict) else box if isinstance(box, list) else ()
        pending += [(each, depth + 1) for each in inner]
    return deepest
