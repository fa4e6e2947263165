"""Send buffers: bounded, batched, coalesced, and closed when their connection is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from asman_server.delivery import send_buffer as module
from asman_server.delivery.send_buffer import BOUND, Flusher, SendBuffer
from asman_shared.encoded import EncodedMessage, Language
from asman_shared.messages import Ping
from devtools.patience import PATIENCE


class Wire:
    """A connection that takes frames while it has room."""

    def __init__(self) -> None:
        self.open = True
        self.room = True
        self.takes = -1
        """Frames after which there is no more room; -1 for any number."""
        self.frames: list[list[int]] = []
        self.on_drain: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None

    @property
    def direct(self) -> Callable[[bytes], object]:
        return self.write

    def write(self, frame: bytes) -> bool:
        text = frame[0] == 0x81
        start = {126: 4, 127: 10}.get(frame[1], 2)
        messages: list[Any] = json.loads(frame[start:]) if text else msgspec.msgpack.decode(frame[start:])
        self.frames.append([message["ref"] for message in messages])
        if self.takes > 0:
            self.takes -= 1
            self.room = self.takes > 0
        return True

    def drain(self, takes: int = -1) -> None:
        self.room, self.takes = True, takes
        self.on_drain()


class Bench:
    """A send buffer with the objects around it."""

    def __init__(self, language: Language = Language.MSGPACK) -> None:
        self.wire = Wire()
        self.flusher = Flusher()
        self.overflows = 0
        self.send_buffer = SendBuffer(self.wire, language, self.flusher, self._overflow)

    def _overflow(self) -> None:
        self.overflows += 1

    def push(self, *refs: int, key: str | None = None) -> None:
        for ref in refs:
            self.send_buffer.push(EncodedMessage(Ping(ref=ref), key))


async def turn() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("language", list(Language))
async def test_what_is_said_in_one_turn_leaves_in_one_frame(language: Language) -> None:
    bench = Bench(language)
    bench.push(1, 2, 3)
    assert bench.wire.frames == []
    await turn()
    assert bench.wire.frames == [[1, 2, 3]]
    assert bench.send_buffer.waiting == 0
    bench.push(4)
    await turn()
    assert bench.wire.frames == [[1, 2, 3], [4]]


async def test_a_large_batch_leaves_in_several_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRAME_TARGET", 30)
    bench = Bench()
    bench.push(*range(1, 8))
    await turn()
    assert [ref for frame in bench.wire.frames for ref in frame] == list(range(1, 8))
    assert len(bench.wire.frames) > 1
    assert bench.send_buffer.waiting == 0


async def test_without_room_the_newest_of_a_key_replaces_the_older_at_its_own_place() -> None:
    bench = Bench()
    bench.wire.room = False
    bench.push(1, key="a")
    bench.push(2, key="b")
    bench.push(3)
    bench.push(4, key="a")
    assert bench.send_buffer.congested
    assert (bench.send_buffer.dropped, bench.flusher.dropped) == (1, 1)
    await turn()
    assert bench.wire.frames == []
    bench.wire.drain()
    await turn()
    assert bench.wire.frames == [[2, 3, 4]]
    assert bench.send_buffer.waiting == 0


async def test_with_room_nothing_is_replaced() -> None:
    bench = Bench()
    bench.push(1, 2, key="a")
    await turn()
    assert bench.wire.frames == [[1, 2]]


async def test_messages_without_a_key_are_never_replaced() -> None:
    """Such as the first change of a run, which carries the summary."""
    bench = Bench()
    bench.wire.room = False
    bench.push(1, 2)
    bench.push(3, key="job")
    bench.push(4, key="job")
    bench.wire.drain()
    await turn()
    assert bench.wire.frames == [[1, 2, 4]]


async def test_keys_stay_right_when_only_a_part_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRAME_TARGET", 1)
    bench = Bench()
    bench.wire.room = False
    bench.push(1, key="a")
    bench.push(2, key="b")
    bench.push(3, key="c")
    bench.wire.drain(takes=1)
    await turn()
    assert bench.wire.frames == [[1]]
    bench.push(4, key="b")
    bench.push(5, key="a")
    bench.wire.drain()
    await turn()
    assert [ref for frame in bench.wire.frames for ref in frame] == [1, 3, 4, 5]
    assert bench.send_buffer.waiting == 0


async def test_a_slow_client_is_let_go_once_and_its_memory_is_freed() -> None:
    bench = Bench()
    bench.wire.room = False
    waiter = asyncio.ensure_future(bench.send_buffer.drained())
    await turn()
    big = EncodedMessage(Ping())
    big._msgpack = b"x" * (BOUND // 4)
    for _ in range(4):
        bench.send_buffer.push(big)
    assert bench.overflows == 0
    for _ in range(3):
        bench.send_buffer.push(big)
    assert (bench.overflows, bench.flusher.overflows, bench.send_buffer.waiting) == (1, 1, 0)
    async with asyncio.timeout(PATIENCE):
        await waiter
    bench.wire.drain()
    await turn()
    assert bench.wire.frames == []


async def test_more_than_the_bound_is_no_overflow_while_there_is_room() -> None:
    bench = Bench()
    big = EncodedMessage(Ping())
    big._msgpack = msgspec.msgpack.encode({"ref": 1, "x": b"x" * (BOUND // 2)})
    for _ in range(3):
        bench.send_buffer.push(big)
    await turn()
    assert bench.overflows == 0
    assert bench.wire.frames == [[1], [1], [1]]


async def test_drained_returns_when_all_has_left_and_there_is_room() -> None:
    bench = Bench()
    await bench.send_buffer.drained()
    bench.wire.room = False
    bench.push(1)
    waiter = asyncio.ensure_future(bench.send_buffer.drained())
    await turn()
    bench.wire.drain(takes=1)
    await turn()
    await turn()
    assert bench.wire.frames == [[1]]
    assert not waiter.done(), "it has left, and the socket is full again"
    bench.wire.drain()
    async with asyncio.timeout(PATIENCE):
        await waiter


async def test_a_waiter_that_was_cancelled_harms_nobody() -> None:
    bench = Bench()
    bench.wire.room = False
    gone, stays = (asyncio.ensure_future(bench.send_buffer.drained()) for _ in range(2))
    await turn()
    gone.cancel()
    await turn()
    bench.wire.drain()
    async with asyncio.timeout(PATIENCE):
        await stays


async def test_a_connection_that_has_gone_keeps_nothing() -> None:
    bench = Bench()
    bench.wire.room = False
    bench.push(1)
    bench.wire.open = False
    waiter = asyncio.ensure_future(bench.send_buffer.drained())
    bench.flusher.flush()
    async with asyncio.timeout(PATIENCE):
        await waiter
    bench.push(2)
    assert bench.send_buffer.waiting == 0
    assert bench.wire.frames == []


async def test_after_close_nothing_is_taken_and_nobody_waits() -> None:
    bench = Bench()
    bench.wire.room = False
    bench.push(1)
    waiter = asyncio.ensure_future(bench.send_buffer.drained())
    await turn()
    bench.send_buffer.close()
    async with asyncio.timeout(PATIENCE):
        await waiter
    bench.push(2)
    bench.wire.drain()
    await turn()
    assert (bench.wire.frames, bench.send_buffer.waiting) == ([], 0)


async def test_one_flush_serves_all_send_buffers_of_a_turn() -> None:
    one, other = Bench(), Bench()
    shared = SendBuffer(other.wire, Language.MSGPACK, one.flusher, other._overflow)
    one.push(1)
    shared.push(EncodedMessage(Ping(ref=2)))
    await turn()
    assert (one.wire.frames, other.wire.frames) == ([[1]], [[2]])
