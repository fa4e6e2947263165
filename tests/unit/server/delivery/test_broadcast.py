"""Broadcasts: one frame for all subscribers with room, each message once and in order for every subscriber."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from asman_server.delivery import broadcast as module
from asman_server.delivery.broadcast import BroadcastGroup
from asman_server.delivery.send_buffer import BOUND, Flusher, SendBuffer
from asman_shared.encoded import EncodedMessage, Language
from asman_shared.messages import Ping


class Wire:
    """A connection that takes frames while it has room, as the hub's transport does."""

    def __init__(self) -> None:
        self.open = True
        self.room = True
        self.takes = -1
        """Frames after which there is no more room; -1 for any number."""
        self.broken = False
        self.frames: list[bytes] = []
        self.on_drain: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None

    @property
    def direct(self) -> Callable[[bytes], object]:
        return self.write

    def write(self, frame: bytes) -> bool:
        if self.broken:
            raise RuntimeError("the handler is closed")
        assert self.open, "nothing is written to a connection that is going away"
        assert self.room, "nothing is written where there is no room"
        self.frames.append(frame)
        if self.takes > 0:
            self.takes -= 1
            if not self.takes:
                self.fill()
        return True

    def fill(self) -> None:
        self.room = False
        self.on_stop()

    def drain(self, takes: int = -1) -> None:
        self.room, self.takes = True, takes
        self.on_drain()

    def end(self) -> None:
        self.on_stop()
        self.open = False

    @property
    def heard(self) -> list[list[int]]:
        """The numbers of the messages of each frame."""
        return [[message["ref"] for message in _messages(frame)] for frame in self.frames]

    @property
    def refs(self) -> list[int]:
        return [ref for frame in self.heard for ref in frame]


def _messages(frame: bytes) -> list[dict[str, Any]]:
    start = {126: 4, 127: 10}.get(frame[1], 2)
    text = frame[0] == 0x81
    found: list[dict[str, Any]] = json.loads(frame[start:]) if text else msgspec.msgpack.decode(frame[start:])
    return found


class Subscribed:
    """A connection with its send buffer in a broadcast group."""

    def __init__(self, broadcast: BroadcastGroup, flusher: Flusher, language: Language = Language.MSGPACK) -> None:
        self.wire = Wire()
        self.overflows = 0
        self.send_buffer = SendBuffer(self.wire, language, flusher, self._overflow)
        self.send_buffer.join(broadcast)

    def _overflow(self) -> None:
        self.overflows += 1

    def says(self, ref: int) -> None:
        self.send_buffer.push(EncodedMessage(Ping(ref=ref)))


class Group:
    """A broadcast group and its subscribers."""

    def __init__(self, members: int = 3) -> None:
        self.broadcast = BroadcastGroup()
        self.flusher = Flusher()
        self.subscribers = [self.comes() for _ in range(members)]

    def comes(self, language: Language = Language.MSGPACK) -> Subscribed:
        return Subscribed(self.broadcast, self.flusher, language)

    def send(self, *refs: int, key: str | None = None) -> None:
        for ref in refs:
            self.broadcast.send(EncodedMessage(Ping(ref=ref), key))


@pytest.fixture
def group() -> Group:
    return Group()


async def turn() -> None:
    """Runs what is due: the broadcast, and then the flush of the send buffers."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_is_said_in_one_turn_is_one_frame_and_the_same_bytes_for_all(group: Group) -> None:
    group.send(1, 2, 3)
    assert [subscriber.wire.frames for subscriber in group.subscribers] == [[], [], []]
    await turn()
    assert [subscriber.wire.heard for subscriber in group.subscribers] == [[[1, 2, 3]]] * 3
    assert len({id(subscriber.wire.frames[0]) for subscriber in group.subscribers}) == 1


async def test_each_language_has_its_frame(group: Group) -> None:
    texts = [group.comes(Language.JSON) for _ in range(2)]
    group.send(1, 2)
    await turn()
    everyone = [*group.subscribers, *texts]
    assert [subscriber.wire.heard for subscriber in everyone] == [[[1, 2]]] * 5
    assert [subscriber.wire.frames[0][0] for subscriber in everyone] == [0x82] * 3 + [0x81] * 2
    assert texts[0].wire.frames[0] is texts[1].wire.frames[0]


async def test_what_is_told_to_one_alone_keeps_its_place_among_what_is_told_to_all(group: Group) -> None:
    one, other, _ = group.subscribers
    group.send(1)
    one.says(10)
    group.send(2)
    one.says(11)
    other.says(20)
    group.send(3)
    await turn()
    assert one.wire.refs == [1, 10, 2, 11, 3]
    assert other.wire.refs == [1, 2, 20, 3]
    assert group.subscribers[2].wire.heard == [[1, 2, 3]]
    group.send(4)
    await turn()
    assert one.wire.frames[-1] is group.subscribers[2].wire.frames[-1], "it is one of many again"


async def test_who_has_something_of_its_own_first_gets_that_first(group: Group) -> None:
    one = group.subscribers[0]
    one.says(10)
    group.send(1)
    await turn()
    assert one.wire.refs == [10, 1]


async def test_who_comes_or_goes_in_the_middle_of_a_turn_is_told_what_was_said_while_it_was_there(group: Group) -> None:
    gone = group.subscribers[0]
    group.send(1)
    late = group.comes()
    group.send(2)
    gone.send_buffer.close()
    await turn()
    assert late.wire.refs == [2]
    assert gone.wire.refs == []
    assert gone.send_buffer not in group.broadcast
    group.send(3)
    await turn()
    assert late.wire.refs == [2, 3]
    assert late.wire.frames[-1] is group.subscribers[1].wire.frames[-1]


async def test_who_is_flushed_before_it_is_closed_hears_all_that_was_said_by_then(group: Group) -> None:
    gone = group.subscribers[0]
    group.send(1, 2)
    gone.send_buffer.flush()
    gone.send_buffer.close()
    await turn()
    assert gone.wire.refs == [1, 2]


async def test_who_has_no_room_is_not_written_to_and_gets_the_newest_of_each_key_later(group: Group) -> None:
    slow, quick, _ = group.subscribers
    slow.wire.takes = 1
    for ref in range(1, 6):
        group.send(ref, key="job")
        group.send(ref + 100)
        await turn()
    assert slow.wire.heard == [[1, 101]]
    assert quick.wire.refs == [1, 101, 2, 102, 3, 103, 4, 104, 5, 105]
    slow.wire.drain()
    await turn()
    assert slow.wire.refs == [1, 101, 102, 103, 104, 5, 105]
    group.send(6)
    await turn()
    assert slow.wire.frames[-1] is quick.wire.frames[-1]


async def test_who_had_no_room_and_missed_nothing_is_one_of_many_again(group: Group) -> None:
    slow, quick, _ = group.subscribers
    slow.wire.takes = 1
    group.send(1)
    await turn()
    slow.wire.drain()
    group.send(2)
    await turn()
    assert slow.wire.frames[-1] is quick.wire.frames[-1]


async def test_room_that_comes_back_in_the_middle_of_a_turn_loses_and_doubles_nothing(group: Group) -> None:
    slow = group.subscribers[0]
    slow.wire.fill()
    group.send(1)
    slow.wire.drain()
    group.send(2)
    slow.wire.fill()
    slow.wire.drain()
    await turn()
    assert slow.wire.refs == [1, 2]
    group.send(3)
    await turn()
    assert slow.wire.refs == [1, 2, 3]


async def test_who_runs_out_of_room_between_two_frames_of_a_turn_gets_the_second_later(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRAME_TARGET", 1)
    slow, quick, _ = group.subscribers
    slow.wire.takes = 1
    group.send(1, 2, 3)
    await turn()
    assert quick.wire.heard == [[1], [2], [3]]
    assert slow.wire.heard == [[1]]
    slow.wire.drain()
    await turn()
    assert slow.wire.refs == [1, 2, 3]


async def test_a_closing_connection_is_not_written_to_and_its_send_buffer_is_closed(group: Group) -> None:
    gone, stays, _ = group.subscribers
    group.send(1)
    gone.wire.end()
    await turn()
    assert gone.wire.frames == []
    assert gone.send_buffer not in group.broadcast
    assert stays.wire.refs == [1]


async def test_a_socket_that_has_just_broken_harms_nobody(group: Group) -> None:
    group.subscribers[1].wire.broken = True
    group.send(1)
    await turn()
    assert [subscriber.wire.refs for subscriber in group.subscribers] == [[1], [], [1]]


async def test_one_that_never_reads_is_let_go_and_the_others_hear_all(group: Group) -> None:
    deaf, *others = group.subscribers
    deaf.wire.fill()
    big = EncodedMessage(Ping())
    big._msgpack = msgspec.msgpack.encode({"ref": 7, "x": b"x" * (BOUND // 4)})
    for _ in range(6):
        group.broadcast.send(big)
        await turn()
    assert (deaf.overflows, deaf.send_buffer.waiting, group.flusher.overflows) == (1, 0, 1)
    assert deaf.send_buffer not in group.broadcast
    assert [subscriber.wire.refs for subscriber in others] == [[7] * 6] * 2


async def test_a_closed_send_buffer_joins_nothing() -> None:
    group = Group(0)
    assert not group.broadcast
    group.send(1)
    send_buffer = SendBuffer(Wire(), Language.MSGPACK, group.flusher, lambda: None)
    send_buffer.close()
    send_buffer.join(group.broadcast)
    assert not group.broadcast
    subscriber = group.comes()
    assert group.broadcast
    await turn()
    assert subscriber.wire.frames == []
    subscriber.send_buffer.close()
    assert not group.broadcast


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 70_000])
async def test_frames_of_every_size_reach_all(group: Group, size: int) -> None:
    bare = len(msgspec.msgpack.encode({"ref": 1, "x": [0] * 16})) - 16
    if size - 1 - bare > 65_535:
        bare += 2
    encoded = EncodedMessage(Ping())
    encoded._msgpack = msgspec.msgpack.encode({"ref": 1, "x": [0] * (size - 1 - bare)})
    group.broadcast.send(encoded)
    await turn()
    head = 2 if size < 126 else 4 if size < 65_536 else 10
    for subscriber in group.subscribers:
        assert subscriber.wire.refs == [1]
        assert len(subscriber.wire.frames[0]) == head + size
