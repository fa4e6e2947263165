"""Text of other people on a terminal: nothing that a job, a worker or a hub names may steer the terminal."""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = [*range(0x20), *range(0x7F, 0xA0)]
_ORDER: Final = [0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
"""Marks of the direction of text, with which a name can look like another, and the separators of lines."""
_SHOWN: Final = {code: f"\\u{code:04x}" for code in _ORDER}
_WORD: Final = {code: f"\\x{code:02x}" for code in _CONTROLS} | {9: "\\t", 10: "\\n", 13: "\\r"} | _SHOWN
_TEXT: Final = {code: shown for code, shown in _WORD.items() if code not in (9, 10)}
_JSON: Final = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)} | _SHOWN

# Compiled at its first use.
_LOG: Final = (
    r"(?P<kept>\x1b\[[0-9;:]*m|[\t\r\n])"  # colour, tab, carriage return
    r"|(?:\x1b[PX^_\]]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # strings: titles, links, clipboards
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # all other sequences that move, erase or ask
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x1f\x7f-\x9f]"
)


def word(text: str) -> str:
    """Escapes every control character and mark of direction, for a name or a cell of a table, which is one line."""
    return text.translate(_WORD)


def sentence(text: str) -> str:
    """Escapes control characters other than tabs and line ends, and marks of direction, for text of several lines."""
    return text.translate(_TEXT)


def json(text: str) -> str:
    """Escapes what JSON may hold as it is (DEL, C1 and marks of direction); the value stays the same."""
    return text.translate(_JSON)


def log_line(text: str) -> str:
    """Keeps colour, tabs and carriage returns of a log's line, and drops all other control sequences."""
    return re.sub(_LOG, lambda found: found["kept"] or "", text)
