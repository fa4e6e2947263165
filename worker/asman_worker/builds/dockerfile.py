"""Reads a Dockerfile before it is built, for the images that it begins from and copies from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from asman_shared.errors import ExecutionError
from asman_shared.units import MIB

LARGEST: Final = MIB

_FROM: Final = re.compile(r"FROM\s+((?:--\S+\s+)*)(\S+)(?:\s+AS\s+(\S+))?\s*", re.IGNORECASE)
_ARG: Final = re.compile(r"ARG\s+([A-Za-z_][A-Za-z0-9_]*)(?:=(.*))?", re.IGNORECASE)
_COPY: Final = re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=(\S+)\s", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"#\s*escape\s*=\s*`\s*", re.IGNORECASE)
_DIRECTIVE: Final = re.compile(r"#\s*\w+\s*=.*")
_NAME: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::?([-+])([^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Base:
    """An image that a build needs.

    Attributes:
        image: Name of the image.
        platform: The platform that the Dockerfile names; empty for the build's.
    """

    image: str
    platform: str = ""


def bases(text: str, args: Mapping[str, str]) -> list[Base]:
    """Returns the images that a Dockerfile names, in order, each once.

    Its own stages, numbers of stages and ``scratch`` are left out.

    Args:
        text: The Dockerfile.
        args: Build arguments by name; they replace the value of an ``ARG`` before the first ``FROM``.

    Raises:
        ExecutionError: The Dockerfile has no ``FROM``, or is too long.
    """
    if len(text) > LARGEST:
        raise ExecutionError(f"the Dockerfile is longer than {LARGEST} bytes")
    known: dict[str, str] = {}
    stages: set[str] = set()
    found: dict[Base, None] = {}
    begun = False
    for line in _lines(text):
        if not begun and (arg := _ARG.fullmatch(line)) is not None:
            value = args.get(arg[1], _filled(arg[2].strip().strip("\"'"), known) if arg[2] else "")
            known[arg[1]] = value
        elif (begin := _FROM.fullmatch(line)) is not None:
            begun = True
            image = _filled(begin[2], known)
            flags = [flag.partition("=")[2] for flag in begin[1].split() if flag.startswith("--platform=")]
            platform = _filled(flags[0], known) if flags else ""
            if image.lower() not in stages and image.lower() != "scratch":
                found[Base(image, platform)] = None
            if begin[3]:
                stages.add(begin[3].lower())
        elif begun and (copied := _COPY.match(line)) is not None:
            image = _filled(copied[1], known)
            if image.lower() not in stages and not image.isdigit():
                found[Base(image)] = None
    if not begun:
        raise ExecutionError("the Dockerfile has no FROM")
    return list(found)


def _lines(text: str) -> Iterator[str]:
    """Yields the instructions, with continued lines joined and without comments."""
    escape, directives = "\\", True
    held = ""
    for raw in text.lstrip("\ufeff").splitlines():
        line = raw.strip()
        if directives and _DIRECTIVE.fullmatch(line):
            if _ESCAPE.fullmatch(line):
                escape = "`"
            continue
        directives = False
        if not line or line.startswith("#"):
            continue
        if line.endswith(escape):
            held += line[: -len(escape)] + " "
            continue
        yield (held + line).strip()
        held = ""
    if held.strip():
        yield held.strip()


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Replaces variables by their values, and unknown ones by nothing, as the engine does."""

    def value(match: re.Match[str]) -> str:
        name, sign, other = match[1] or match[2], match[3], match[4] or ""
        have = known.get(name, "")
        if sign == "-":
            return have or other
        if sign == "+":
            return other if have else ""
        return have

    return _NAME.sub(value, text.strip("\"'"))
