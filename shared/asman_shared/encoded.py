"""Messages that are encoded once, however many connections they go to.

`EncodedMessage` holds a message with its bytes in each language, made at first use. `frame` joins encoded messages
without touching them again. `asman_shared.codec` reads incoming frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from . import limits
from .messages import Message

_msgpack_encode = msgspec.msgpack.Encoder().encode
_json_encode = msgspec.json.Encoder().encode


class Language(Enum):
    """The two ways to write the same messages."""

    MSGPACK = limits.SUBPROTOCOL_MSGPACK
    JSON = limits.SUBPROTOCOL_JSON


class EncodedMessage:
    """A message with its bytes, encoded at most once per language.

    Args:
        message: What to send; it must not change any more.
        key: Messages with the same key replace each other while they wait in a send buffer (None: never).
    """

    __slots__ = ("_json", "_msgpack", "key", "message")

    def __init__(self, message: Message, key: str | None = None) -> None:
        self.message = message
        self.key = key
        self._msgpack: bytes | None = None
        self._json: bytes | None = None

    def bytes_in(self, language: Language) -> bytes:
        """Returns the bytes of this message in a language."""
        if language is Language.MSGPACK:
            if self._msgpack is None:
                self._msgpack = _msgpack_encode(self.message)
            return self._msgpack
        if self._json is None:
            self._json = _json_encode(self.message)
        return self._json


def _array_header(count: int) -> bytes:
    """The msgpack header of an array (msgpack specification, array format family)."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 2**16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def frame(parts: Sequence[bytes], language: Language) -> bytes:
    """Returns one frame from encoded messages; for JSON the bytes of its text."""
    if language is Language.MSGPACK:
        return _array_header(len(parts)) + b"".join(parts)
    return b"[" + b",".join(parts) + b"]"
