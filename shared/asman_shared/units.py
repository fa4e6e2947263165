"""Reads and formats sizes and durations in the form that people write; reading is strict.

Ambiguous texts are refused: ``"2"`` has no unit, ``""`` and ``"soon"`` mean nothing, and a bare number for a duration
may mean seconds or milliseconds.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import BadUnit

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3

SIZE_MAX: Final = 4 * 1024**5
"""Largest size that any text may name, in bytes; far below what a database or JavaScript can't count."""
DURATION_MAX: Final = 36_500 * 86_400_000
"""Longest duration that any text may name, in milliseconds."""

# Patterns are compiled at their first use.
_SIZE = r"(?ai)(?P<number>\d{1,15}(?:\.\d{1,6})?) ?(?P<unit>b|[kmgtp](?:i?b)?)"
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = (
    r"(?a)(?:(?P<d>\d{1,6})d)?(?:(?P<h>\d{1,6})h)?(?:(?P<m>\d{1,6})m(?!s))?"
    r"(?:(?P<s>\d{1,9}(?:\.\d{1,3})?)s)?(?:(?P<ms>\d{1,12})ms)?"
)
_SAMPLES = {"size": "512MiB", "duration": "1h30m"}
_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


LENGTH: Final = 64
"""Longest text of a size or a duration, in characters."""


def _short(text: str, kind: str, field: str | None) -> None:
    if len(text) > LENGTH:
        raise BadUnit(f"a {kind} has at most {LENGTH} characters, such as {_SAMPLES[kind]}", field=field)


def parse_size(text: str, *, field: str | None = None, least: int = 0) -> int:
    """Parses a size into bytes: ``2g``, ``512MiB``, ``1.5GB`` or ``100b``.

    All units are powers of 1024, with or without ``i``, as container engines read them.

    Args:
        text: The size.
        field: The field that holds it, for the error.
        least: The smallest size that the field may have, in bytes; the largest is `SIZE_MAX`.

    Raises:
        BadUnit: The text has no unit, can't be read, or is out of range.
    """
    _short(text, "size", field)
    match = re.fullmatch(_SIZE, text.strip())
    if match is None:
        raise BadUnit(f"'{text}' is not a size: write a number and a unit, such as 512MiB or 2g", field=field)
    power = _POWERS[match["unit"][0].lower()]
    size = int(float(match["number"]) * 1024**power)
    if not least <= size <= SIZE_MAX:
        raise BadUnit(f"'{text}' is out of range: a size from {least} B to 4096 TiB is possible here", field=field)
    return size


def parse_duration(text: str, *, field: str | None = None, least: int = 0) -> int:
    """Parses a duration into milliseconds: ``20m``, ``1h30m``, ``1.5s`` or ``250ms``; units descend, each used once.

    Args:
        text: The duration.
        field: The field that holds it, for the error.
        least: The shortest duration that the field may have, in milliseconds; the longest is `DURATION_MAX`.

    Raises:
        BadUnit: The text has no unit, can't be read, or is out of range.
    """
    _short(text, "duration", field)
    match = re.fullmatch(_DURATION, text.strip())
    parts = {k: v for k, v in match.groupdict().items() if v is not None} if match else {}
    if not parts:
        raise BadUnit(f"'{text}' is not a duration: write numbers with units, such as 90s, 20m or 1h30m", field=field)
    duration = int(sum(float(value) * _MS[unit] for unit, value in parts.items()))
    if not least <= duration <= DURATION_MAX:
        sentence = f"'{text}' is out of range: a duration from {least}ms to 36500d is possible here"
        raise BadUnit(sentence, field=field)
    return duration


def format_duration(ms: float) -> str:
    """Formats a duration for people: ``850 ms``, ``2.4 s``, ``20m``, ``1h30m``."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.3g} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{n}{unit}" for n, unit in parts if n)


def format_size(size: float) -> str:
    """Formats a size for people: ``17 B``, ``1.5 KiB``, ``2 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
