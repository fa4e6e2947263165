r"""Half characters (lone surrogates): JSON can write one, as ``\ud800``, but UTF-8 and databases can't hold it.

The decoder refuses a whole document because of one, without a place. With `in_bytes` only the text that has it can't be
read, as in msgpack, and `place` finds that text.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

SAYS: Final = "a text has half a character (a lone surrogate, such as \\ud800), which UTF-8 can't hold"

PATH_LENGTH: Final = 250
"""Number of characters that are kept of a path, which has names of any length."""
_ESCAPE: Final = (
    rb"(?P<before>(?<!\\)(?:\\\\)*+)\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|u(?P<half>[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
"""An escape of a half character or of a pair; an even number of backslashes before it are themselves. Compiled at its
first use."""


def _written(found: re.Match[bytes]) -> bytes:
    half = found["half"]
    return found["before"] + chr(int(half, 16)).encode("utf-8", "surrogatepass") if half is not None else found[0]


def in_bytes(data: bytes) -> bytes:
    """Returns a JSON document with each half character as the bytes that UTF-8 does not allow."""
    return re.sub(_ESCAPE, _written, data)


def _replaced(found: re.Match[bytes]) -> bytes:
    return found["before"] + "\ufffd".encode() if found["half"] is not None else found[0]


def replaced(data: bytes) -> bytes:
    """Returns a JSON document with U+FFFD for each half character, and for bytes that are not UTF-8."""
    return re.sub(_ESCAPE, _replaced, data).decode("utf-8", "replace").encode()


def is_half(error: UnicodeDecodeError) -> bool:
    """Whether the bytes that could not be read are half a character."""
    first, *rest = error.object[error.start : error.start + 2]
    return first == 0xED and bool(rest) and rest[0] >= 0xA0


def place(data: bytes) -> str | None:
    """Returns the path of the first text with half a character in a JSON document; None if there is none.

    The path is empty for the document itself, and has at most `PATH_LENGTH` characters. A member whose name has half a
    character has the path of its object.
    """
    try:
        path = _place(json.loads(data))
    except (ValueError, RecursionError):
        return None
    return path if path is None or len(path) <= PATH_LENGTH else path[: PATH_LENGTH - 1] + "…"


def _place(value: Any) -> str | None:
    if isinstance(value, str):
        return None if _whole(value) else ""
    if isinstance(value, list):
        for at, item in enumerate(value):
            if (inner := _place(item)) is not None:
                return f"[{at}]{_joined(inner)}"
    if isinstance(value, dict):
        for name, item in value.items():
            if not _whole(name):
                return ""
            if (inner := _place(item)) is not None:
                return f"{name}{_joined(inner)}"
    return None


def _joined(path: str) -> str:
    return path if path.startswith("[") or not path else f".{path}"


def _whole(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
