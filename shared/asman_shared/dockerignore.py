"""Matches the rules of a ``.dockerignore``: the files of a context that are left out of a build.

The rules come from strangers, and a worker matches every file of a build against each of them. A pattern becomes an
expression of atomic groups: whatever has matched once is not tried again in another way, so no pattern can stall.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import BadDefinition

PATTERNS: Final = 1000
"""Most patterns of one file."""
PATTERN_LENGTH: Final = 1024
"""Longest pattern, in characters."""

_FIELD: Final = "definition.build.context"
_STAR: Final = "*"
_END: Final = r"(?=/|\Z)"


class DockerIgnore:
    """Patterns, one per line; the last one that matches a name decides.

    ``*`` and ``?`` match within a part of a path, ``**`` matches any number of parts, ``!`` negates, and ``#`` begins a
    comment. A pattern that matches a folder matches everything in it.

    Args:
        text: The file's text.

    Raises:
        BadDefinition: A pattern can't be read, as for Docker, or is too long, or there are too many.
    """

    def __init__(self, text: str) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            line = raw.strip()
            # As for Docker, white space before a # makes it a pattern.
            if not line or raw.startswith("#"):
                continue
            if len(self._rules) == PATTERNS:
                raise BadDefinition(f"'.dockerignore' has more than {PATTERNS} patterns", field=_FIELD)
            keep = line.startswith("!")
            try:
                expression = _expression(line.removeprefix("!").strip())
            except _Unreadable as error:
                shown = line if len(line) <= 80 else line[:77] + "…"
                raise BadDefinition(
                    f"line {number} of '.dockerignore', the pattern '{shown}', can't be used: {error}", field=_FIELD
                ) from None
            if expression is not None:
                self._rules.append((keep, re.compile(expression)))

    def drops(self, name: str) -> bool:
        """Whether a file is left out."""
        dropped = False
        for keep, pattern in self._rules:
            if dropped is keep and pattern.match(name):
                dropped = not keep
        return dropped


class _Unreadable(Exception):
    """A pattern has no meaning."""


def _expression(pattern: str) -> str | None:
    """Returns the expression that matches the beginning of a name; None for a pattern that matches nothing.

    Between two ``**`` the first place that fits is as good as any later one, so only that one is tried.
    """
    if len(pattern) > PATTERN_LENGTH:
        raise _Unreadable(f"it is longer than {PATTERN_LENGTH} characters")
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    groups: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            groups.append([])
        else:
            groups[-1].append(_part(part))
    if not parts or ".." in parts:
        return None
    first, *later = groups
    made = ["/".join(first)] if first else []
    made += [f"(?>(?:[^/]+/)*?{'/'.join(group)})" for group in later if group]
    if made and later and not groups[-1]:
        # Of a folder and '**', the folder itself is kept.
        made.append("")
    return "/".join(made)


def _part(part: str) -> str:
    """Returns the expression of one part of a path, up to its end."""
    first, *others = _pieces(part)
    if not others:
        return f"{first}{_END}"
    *middle, last = others
    return f"(?>{first}{''.join(f'(?>[^/]*?{piece})' for piece in middle)}[^/]*{last}{_END})"


def _pieces(part: str) -> list[str]:
    """Returns the expressions between the stars of a part; several stars in a row count as one."""
    made, at = [""], 0
    while at < len(part):
        char = part[at]
        if char == _STAR:
            if at == 0 or part[at - 1] != _STAR or made[-1]:
                made.append("")
            at += 1
        elif char == "?":
            made[-1] += "[^/]"
            at += 1
        elif char == "[":
            expression, at = _class(part, at + 1)
            made[-1] += expression
        else:
            literal, at = _literal(part, at)
            made[-1] += re.escape(literal)
    return made


def _literal(part: str, at: int) -> tuple[str, int]:
    """Reads one character, which a backslash may precede; returns it and the place after it."""
    if part[at] != "\\":
        return part[at], at + 1
    if at + 1 == len(part):
        raise _Unreadable("nothing follows its '\\'")
    return part[at + 1], at + 2


def _class(part: str, at: int) -> tuple[str, int]:
    """Reads the characters in brackets after the opening one; returns their expression and the place after them."""
    negated = part.startswith("^", at)
    at += negated
    made = ""
    while not (made and part.startswith("]", at)):
        low, at = _member(part, at)
        high = low
        if part.startswith("-", at):
            high, at = _member(part, at + 1)
        if low > high:
            raise _Unreadable(f"its range '{low}-{high}' is backwards")
        made += f"{re.escape(low)}-{re.escape(high)}"
    return f"(?!/)[{'^' if negated else ''}{made}]", at + 1


def _member(part: str, at: int) -> tuple[str, int]:
    if at == len(part):
        raise _Unreadable("its '[' is not closed")
    if part[at] in "]-":
        raise _Unreadable(f"a character is missing before '{part[at]}' in its brackets")
    return _literal(part, at)
