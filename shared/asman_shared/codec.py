"""Frames: many messages in one websocket frame, as msgpack or as JSON text.

This module reads frames and writes whole ones; `encoded` writes messages that go to many connections.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

import msgspec

from . import half_characters, limits
from .encoded import Language
from .errors import BadRequest, TooLarge, misfit
from .messages import ClientMessage, HubToClient, HubToWorker, Message, WorkerMessage

M = TypeVar("M")

SENTENCE: Final = 300
"""Largest number of received characters that an error repeats."""

_MSGPACK: Final = Language.MSGPACK
_JSON: Final = Language.JSON
"""The languages by names of this module, because each frame would look the members of the enum up again."""

_msgpack_encode = msgspec.msgpack.Encoder().encode
_json_encode = msgspec.json.Encoder().encode


_WIDTHS: Final = {0xDC: 2, 0xDD: 4}


def _array_size(data: bytes) -> int:
    """Returns the number of elements that a msgpack array declares; 0 for anything else, which the decoder refuses."""
    if not data:
        return 0
    first = data[0]
    if first >> 4 == 9:
        return first & 0x0F
    width = _WIDTHS.get(first, 0)
    return int.from_bytes(data[1 : 1 + width], "big")


def _check_count(count: int) -> None:
    """Checks the number of messages before they are decoded: errors for a million bad ones would take gigabytes."""
    if count > limits.FRAME_MESSAGES:
        raise TooLarge(f"a frame has {count} messages; the maximum is {limits.FRAME_MESSAGES}")


def encode(messages: Iterable[Message], language: Language = Language.MSGPACK) -> bytes:
    """Returns one frame from messages."""
    if language is Language.MSGPACK:
        return _msgpack_encode(list(messages))
    return _json_encode(list(messages))


class Broken(msgspec.Struct):
    """A message of a frame that could not be read: the error, and its ``ref`` if that could be read."""

    error: BadRequest
    ref: int | None


class _Envelope(msgspec.Struct):
    ref: Any = None


class FrameDecoder(Generic[M]):
    """Reads frames of one direction.

    Args:
        union: The messages that are expected.
    """

    def __init__(self, union: Any) -> None:
        self._whole_msgpack: Any = msgspec.msgpack.Decoder(list[union]).decode
        self._whole_json: Any = msgspec.json.Decoder(list[union]).decode
        self._raw: dict[Language, Any] = {
            Language.MSGPACK: msgspec.msgpack.Decoder(list[msgspec.Raw]),
            Language.JSON: msgspec.json.Decoder(list[msgspec.Raw]),
        }
        self._one: dict[Language, Any] = {
            Language.MSGPACK: msgspec.msgpack.Decoder(union),
            Language.JSON: msgspec.json.Decoder(union),
        }
        self._envelope: dict[Language, Any] = {
            Language.MSGPACK: msgspec.msgpack.Decoder(_Envelope),
            Language.JSON: msgspec.json.Decoder(_Envelope),
        }

    def decode(self, data: bytes, language: Language) -> list[M | Broken]:
        """Returns the messages of a frame, in order; an unreadable one becomes `Broken` and does not affect the others.

        A JSON frame may also be a single message, so that a person can type it.

        Raises:
            BadRequest: The frame itself can't be read.
            TooLarge: The frame is over the limits.
        """
        if len(data) > limits.FRAME_BYTES:
            raise TooLarge(f"a frame has {len(data)} bytes; the maximum is {limits.FRAME_BYTES}")
        messages: list[M | Broken]
        try:
            if language is _MSGPACK:
                _check_count(_array_size(data))
                messages = self._whole_msgpack(data)
            else:
                if data.lstrip()[:1] == b"{":
                    data = b"[" + data + b"]"
                messages = self._whole_json(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            messages = self._decode_each(data, language)
        _check_count(len(messages))
        return messages

    def _decode_each(self, data: bytes, language: Language) -> list[M | Broken]:
        if language is _JSON:
            data = half_characters.in_bytes(data)
        try:
            raws: list[msgspec.Raw] = self._raw[language].decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"this frame is not a {language.name} array of messages: {error}") from None
        _check_count(len(raws))
        return [self._decode_one(raw, language) for raw in raws]

    def _decode_one(self, raw: msgspec.Raw, language: Language) -> M | Broken:
        try:
            message: M = self._one[language].decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            sentence, path = misfit(error)
            if language is _JSON and isinstance(error, UnicodeDecodeError):
                path = half_characters.place(bytes(raw)) or ""
            field = path[:SENTENCE] or None
            if len(sentence) > SENTENCE:
                sentence = sentence[: SENTENCE - 1] + "…"
            return Broken(BadRequest(sentence, field=field), self._ref(raw, language))
        return message

    def _ref(self, raw: msgspec.Raw, language: Language) -> int | None:
        try:
            ref = self._envelope[language].decode(raw).ref
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return ref if isinstance(ref, int) and 0 <= ref < 2**53 else None


CLIENT_FRAMES: Final[FrameDecoder[ClientMessage]] = FrameDecoder(ClientMessage)
WORKER_FRAMES: Final[FrameDecoder[WorkerMessage]] = FrameDecoder(WorkerMessage)
HUB_TO_CLIENT_FRAMES: Final[FrameDecoder[HubToClient]] = FrameDecoder(HubToClient)
HUB_TO_WORKER_FRAMES: Final[FrameDecoder[HubToWorker]] = FrameDecoder(HubToWorker)
