"""Messages that are encoded once, and frames that are put together from them."""

from __future__ import annotations

import msgpack
import pytest

from asman_shared.codec import CLIENT_FRAMES, encode
from asman_shared.encoded import EncodedMessage, Language, frame
from asman_shared.messages import Ping

both = pytest.mark.parametrize("language", list(Language))


@both
def test_a_frame_of_encoded_messages_equals_one_encoded_whole(language: Language) -> None:
    messages = [Ping(ref=n) for n in range(20)]
    joined = frame([EncodedMessage(m).bytes_in(language) for m in messages], language)
    assert joined == encode(messages, language)
    assert CLIENT_FRAMES.decode(joined, language) == messages


def test_array_headers_of_every_width() -> None:
    for count in (0, 15, 16, 65_535, 65_536):
        assert len(msgpack.unpackb(frame([b"\xc0"] * count, Language.MSGPACK))) == count


def test_a_message_is_encoded_once() -> None:
    encoded = EncodedMessage(Ping(ref=1))
    assert encoded.bytes_in(Language.MSGPACK) is encoded.bytes_in(Language.MSGPACK)
    assert encoded.bytes_in(Language.JSON) is encoded.bytes_in(Language.JSON)
