"""Matches names against a list of patterns, with ``**`` as in a shell."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

_ANY = "**"


class Globs:
    """Patterns for relative names with slashes.

    ``*``, ``?`` and ``[…]`` match characters of one part, ``**`` matches any number of parts, and a pattern that
    matches a folder matches everything in it.

    Args:
        patterns: The patterns; None or an empty list matches every name.
    """

    def __init__(self, patterns: Sequence[str] | None) -> None:
        self._patterns = [(pattern, pattern.split("/")) for pattern in patterns or ()]
        self._unused = {pattern for pattern, _ in self._patterns}

    def takes(self, name: str) -> bool:
        """Whether a name matches."""
        if not self._patterns:
            return True
        parts = name.split("/")
        found = False
        for pattern, wanted in self._patterns:
            if (not found or pattern in self._unused) and _matches(parts, wanted):
                found = True
                self._unused.discard(pattern)
        return found

    @property
    def unused(self) -> list[str]:
        """The patterns that have matched nothing so far."""
        return [pattern for pattern, _ in self._patterns if pattern in self._unused]


def _matches(parts: list[str], wanted: list[str]) -> bool:
    """Whether the pattern matches the name or a folder above it.

    It reads the name once, with all possible positions in the pattern, so no pattern is slow.
    """
    at = {0}
    for part in ["", *parts]:
        moved = at if part == "" else {place for here in at for place in _after(part, here, wanted)}
        at = set(moved)
        for place in moved:
            while place < len(wanted) and wanted[place] == _ANY:
                place += 1
                at.add(place)
        if part and len(wanted) in at:
            return True
    return False


def _after(part: str, here: int, wanted: list[str]) -> list[int]:
    """Returns the possible positions in the pattern after a part of the name."""
    if here == len(wanted):
        return []
    if wanted[here] == _ANY:
        return [here]
    return [here + 1] if fnmatchcase(part, wanted[here]) else []
