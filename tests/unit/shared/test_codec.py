"""Frames: both languages, and what can't be read harms nobody else."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared import half_characters, limits
from asman_shared.codec import CLIENT_FRAMES, WORKER_FRAMES, Broken, encode
from asman_shared.encoded import Language
from asman_shared.errors import BadRequest, TooLarge
from asman_shared.messages import LogBatch, LogLine, Ping, Submit
from asman_shared.states import Phase

both = pytest.mark.parametrize("language", list(Language))


def test_log_lines_are_arrays_on_the_wire() -> None:
    batch = LogBatch(job="0" * 64, attempt=1, lines=[LogLine(0, 5, 1, "x", Phase.PULLING)])
    plain = msgpack.unpackb(encode([batch]))
    assert plain[0]["lines"] == [[0, 5, 1, "x", "pulling", 0]]
    assert WORKER_FRAMES.decode(encode([batch]), Language.MSGPACK) == [batch]


@both
def test_one_bad_message_harms_neither_its_neighbours_nor_its_ref(language: Language) -> None:
    messages: list[Any] = [
        {"type": "ping", "ref": 1},
        {"type": "submit", "ref": 2, "definition": {"image": 7}},
        {"type": "sing", "ref": 3},
        {"type": "submit", "ref": "x"},
        17,
        {"type": "ping", "ref": 4, "from": "the future"},
    ]
    data = msgpack.packb(messages) if language is Language.MSGPACK else json.dumps(messages).encode()
    got = CLIENT_FRAMES.decode(data, language)
    assert got[0] == Ping(ref=1)
    assert got[5] == Ping(ref=4)
    broken = [m for m in got if isinstance(m, Broken)]
    assert [m.ref for m in broken] == [2, 3, None, None]
    assert broken[0].error.field == "definition.image"


def test_people_may_type_a_single_json_message() -> None:
    assert CLIENT_FRAMES.decode(b' {"type":"ping","ref":1}', Language.JSON) == [Ping(ref=1)]


def test_half_a_character_harms_its_own_message_alone_and_is_told_with_its_place() -> None:
    frame = (
        rb'[{"type":"submit","ref":1,"definition":{"image":"a","env":{"A":"\ud800"}}},'
        rb'{"type":"get","ref":2,"job":"\udc00x"},'
        rb'{"type":"ping","ref":3,"other":"\ud800"},'
        rb'{"type":"submit","ref":4,"definition":{"image":"\ud83d\ude00 \\ud800"}}]'
    )
    image, job, ping, whole = CLIENT_FRAMES.decode(frame, Language.JSON)
    assert isinstance(image, Broken)
    assert isinstance(job, Broken)
    assert (image.ref, image.error.field, job.ref, job.error.field) == (1, "definition.env.A", 2, "job")
    assert image.error.message == job.error.message == half_characters.SAYS
    assert ping == Ping(ref=3)
    assert isinstance(whole, Submit)
    assert whole.definition.image == "😀 \\ud800"


def test_half_a_character_in_msgpack_is_told_in_the_same_words() -> None:
    packed = msgpack.packb([{"type": "get", "ref": 1, "job": "\ud800"}], unicode_errors="surrogatepass")
    (broken,) = CLIENT_FRAMES.decode(packed, Language.MSGPACK)
    assert isinstance(broken, Broken)
    assert (broken.ref, broken.error.message) == (1, half_characters.SAYS)


@both
def test_limits_of_a_frame(language: Language) -> None:
    many = encode([Ping()] * limits.FRAME_MESSAGES, language)
    assert len(CLIENT_FRAMES.decode(many, language)) == limits.FRAME_MESSAGES
    with pytest.raises(TooLarge, match="messages"):
        CLIENT_FRAMES.decode(encode([Ping()] * (limits.FRAME_MESSAGES + 1), language), language)
    with pytest.raises(TooLarge, match="bytes"):
        CLIENT_FRAMES.decode(b" " * (limits.FRAME_BYTES + 1), language)


@both
@pytest.mark.parametrize("deep", [b"[" * 100_000, b"\x91" * 100_000, b"\x81\xa1a" * 50_000])
def test_deep_nesting_is_an_error_and_no_crash(language: Language, deep: bytes) -> None:
    with pytest.raises(BadRequest):
        CLIENT_FRAMES.decode(deep, language)


@given(st.binary(max_size=200), st.sampled_from(Language))
def test_random_bytes_give_messages_or_an_error_and_nothing_else(data: bytes, language: Language) -> None:
    try:
        got = CLIENT_FRAMES.decode(data, language)
    except BadRequest:
        return
    assert all(isinstance(m, Broken) or m.__struct_config__.tag for m in got)


def test_values_over_their_bounds_are_refused() -> None:
    data = encode([Submit(ref=1, definition=None, priority=limits.PRIORITY + 1)])  # type: ignore[arg-type]
    got = CLIENT_FRAMES.decode(data, Language.MSGPACK)
    assert isinstance(got[0], Broken)
