"""Parses the one-line errors of `msgspec` into a sentence and the place of the value that does not fit its type."""

from __future__ import annotations

import re
from typing import Final

_PLACE: Final = re.compile(r"(?P<says>.*?)(?: - at `(?:key` in `)?\$(?P<path>[^`]*)`)?", re.DOTALL)


def misfit(error: Exception) -> tuple[str, str]:
    """Extracts the fault and its place from a `msgspec.ValidationError` or another error of reading.

    Returns:
        The sentence, and the path within what was read (``requirements.memory``, ``jobs[0]``); empty for the whole.
    """
    found = _PLACE.fullmatch(str(error))
    if found is None:
        return str(error), ""
    return found["says"], (found["path"] or "").lstrip(".")
