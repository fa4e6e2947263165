"""Files that a build leaves out, by the rules of .dockerignore."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from fnmatch import fnmatchcase

import pytest

from asman_shared.dockerignore import PATTERN_LENGTH, PATTERNS, DockerIgnore
from asman_shared.errors import BadDefinition


@pytest.mark.parametrize(
    ("rules", "dropped", "kept"),
    [
        ("*.log", ["a.log"], ["sub/a.log", "a.txt"]),
        ("**/*.log", ["a.log", "x/y/a.log"], ["a.txt"]),
        ("node_modules", ["node_modules", "node_modules/x/y"], ["sub/node_modules"]),
        ("/a\n", ["a", "a/b"], ["b/a"]),
        ("*\n!keep\nkeep/not", ["x", "keep/not"], ["keep", "keep/x"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
        ("# comment\n\n", [], ["# comment", "x"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["z"]),
        ("../x", [], ["x"]),
        ("***\n", ["x"], []),
        ("**", ["x", "x/y"], []),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab/c"]),
        ("**/a/**", ["a/b", "x/a/b"], ["a", "x/a", "b"]),
        ("a/b", ["a/b", "a/b/c"], ["a/bc", "a"]),
        ("[^a-c]x", ["dx"], ["ax", "bx", "x", "/x"]),
        ("[!a]", ["!", "a"], ["b"]),
        ("[\\]\\-]", ["]", "-"], ["\\", "a"]),
        ("\\*", ["*"], ["a"]),
        ("\\**", ["*", "*a"], ["a"]),
        ("*\r\n!b\r\n", ["a", "line\nbreak"], ["b"]),
        ("\ufeffa\r\nb\r\n", ["a", "b"], ["\ufeffa", "c"]),
        ("\ufeff# comment\n #b\n", ["#b"], ["# comment", " #b"]),
    ],
)
def test_rules_of_dockerignore(rules: str, dropped: list[str], kept: list[str]) -> None:
    ignore = DockerIgnore(rules)
    assert [name for name in dropped if not ignore.drops(name)] == []
    assert [name for name in kept if ignore.drops(name)] == []


def _matches(parts: list[str], wanted: list[str]) -> bool:
    """The meaning of a pattern, word for word: every way to match is tried."""
    if not wanted:
        return True
    if wanted == ["**"]:
        return bool(parts)
    if wanted[0] == "**":
        return any(_matches(parts[skip:], wanted[1:]) for skip in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def test_no_way_to_match_is_missed() -> None:
    chance = random.Random(7)

    def part(letters: str) -> str:
        return "".join(chance.choices(letters, k=chance.randint(1, 4)))

    for _ in range(3000):
        wanted = [chance.choice(["**", part("ab*?"), part("ab*")]) for _ in range(chance.randint(1, 4))]
        parts = [part("ab") for _ in range(chance.randint(1, 5))]
        # A part of stars alone is one star, unless there are two.
        plain = [one if one == "**" or one.strip("*") else "*" for one in wanted]
        if plain[-1] == "**":
            while len(plain) > 1 and plain[-2] == "**":
                plain.pop()
        assert DockerIgnore("/".join(plain)).drops("/".join(parts)) is _matches(parts, plain), (plain, parts)


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 400 + "b",
        "*" + "?" * 200 + "b",
        "*[a-z]" * 150 + "b",
        "**/a/" * 150 + "b",
        "**/*a*a/" * 100 + "b",
        "*/" * 300 + "b",
        "**/" + "a/" * 400 + "b",
    ],
)
@pytest.mark.parametrize("name", ["a" * 250, "/".join(["a"] * 500), "/".join(["a" * 30] * 30)])
def test_no_pattern_is_slow(pattern: str, name: str) -> None:
    ignore = DockerIgnore(pattern)
    began = time.process_time()
    assert not ignore.drops(name)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[z-a]", "its range 'z-a' is backwards"),
        ("[^]", "a character is missing before ']' in its brackets"),
        ("[]", "a character is missing before ']' in its brackets"),
        ("[-a]", "a character is missing before '-' in its brackets"),
        ("[a-]", "a character is missing before ']' in its brackets"),
        ("[a", "its '[' is not closed"),
        ("[", "its '[' is not closed"),
        ("a\\", "nothing follows its '\\'"),
        ("!x/[z-a]", "its range 'z-a' is backwards"),
        ("x" * (PATTERN_LENGTH + 1), f"it is longer than {PATTERN_LENGTH} characters"),
    ],
)
def test_a_pattern_that_docker_refuses_is_named_with_its_line(pattern: str, why: str) -> None:
    shown = pattern if len(pattern) <= 80 else pattern[:77] + "…"
    with pytest.raises(BadDefinition) as error:
        DockerIgnore(f"# first\n\n{pattern}\nfine\n")
    assert error.value.message == f"line 3 of '.dockerignore', the pattern '{shown}', can't be used: {why}"
    assert error.value.field == "definition.build.context"


def test_any_text_is_read_or_refused() -> None:
    chance = random.Random(3)
    for _ in range(5000):
        text = "".join(chance.choices("ab*?[]^-\\!/&|~(){}+.$#\0\udc80", k=chance.randint(1, 9)))
        with suppress(BadDefinition):
            DockerIgnore(text).drops("a/b")


def test_the_number_of_patterns_is_bounded() -> None:
    DockerIgnore("# note\n" * 5000 + "x\n" * PATTERNS)
    with pytest.raises(BadDefinition, match=r"'\.dockerignore' has more than 1000 patterns"):
        DockerIgnore("x\n" * (PATTERNS + 1))
