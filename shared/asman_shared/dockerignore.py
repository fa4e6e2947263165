"""Matches the rules of a ``.dockerignore``: the files of a context that are left out of a build."""

from __future__ import annotations

import re
from typing import Final

_LINES: Final = 10_000


class DockerIgnore:
    """Patterns, one per line; the last one that matches a name decides.

    ``*`` and ``?`` match within a part of a path, ``**`` matches any number of parts, ``!`` negates, and ``#`` begins a
    comment. A pattern that matches a folder matches everything in it.

    Args:
        text: The file's text.
    """

    def __init__(self, text: str) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for raw in text.splitlines()[:_LINES]:
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            keep = line.startswith("!")
            parts = [part for part in line.removeprefix("!").strip().split("/") if part not in ("", ".")]
            if parts and ".." not in parts:
                self._rules.append((keep, re.compile(_expression(parts))))

    def drops(self, name: str) -> bool:
        """Whether a file is left out."""
        dropped = False
        for keep, pattern in self._rules:
            if dropped is keep and pattern.fullmatch(name):
                dropped = not keep
        return dropped


def _expression(parts: list[str]) -> str:
    made = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            made += ".*" if last else "(?:[^/]+/)*"
        else:
            made += _part(part) + ("" if last else "/")
    return made + "(?:/.*)?"


def _part(part: str) -> str:
    made, at = "", 0
    while at < len(part):
        char = part[at]
        if char == "*":
            # Two stars inside a part count as one: only a part of exactly two stars matches folders.
            made += "" if made.endswith("[^/]*") else "[^/]*"
        elif char == "?":
            made += "[^/]"
        elif char == "\\" and at + 1 < len(part):
            at += 1
            made += re.escape(part[at])
        elif char == "[" and (end := part.find("]", at + 2)) > 0:
            inner = part[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[").replace("&&", "&\\&")
            made += f"[{inner}]"
            at = end
        else:
            made += re.escape(char)
        at += 1
    return made
