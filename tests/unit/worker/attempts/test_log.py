"""Lines on their way: numbered, batched, bounded, and said again."""

from __future__ import annotations

import asyncio

from asman_shared import limits
from asman_shared.codec import WORKER_FRAMES, encode
from asman_shared.encoded import Language
from asman_shared.messages import STDERR, STDOUT, SYSTEM, LogBatch
from asman_shared.states import Phase
from asman_worker.attempts.log import RING_BYTES, AttemptLog


class Wire:
    """Takes lines when told that there are some."""

    def __init__(self, first: int = 0, *, most: int = 0, eager: bool = True) -> None:
        self.ready = asyncio.Event()
        self.calls = 0
        self.eager = eager
        self.log = AttemptLog(first, self._ready, most=most)

    def _ready(self) -> None:
        self.calls += 1
        self.ready.set()

    def texts(self) -> list[str]:
        texts: list[str] = []
        while lines := self.log.take():
            assert len(lines) <= limits.LOG_BATCH_LINES
            texts += [line.text for line in lines]
        return texts


async def test_seqs_continue_from_where_the_hub_says() -> None:
    wire = Wire(41)
    wire.log.resume(41)
    wire.log.feed(STDOUT, b"a\nb\n", 5)
    wire.log.phase = Phase.UPLOADING
    wire.log.say("hm")
    lines = wire.log.take()
    assert [(line.seq, line.stream, line.text, line.phase) for line in lines] == [
        (41, STDOUT, "a", Phase.RUNNING),
        (42, STDOUT, "b", Phase.RUNNING),
        (43, SYSTEM, "hm", Phase.UPLOADING),
    ]
    assert lines[0].time == 5


async def test_whatever_the_worker_says_can_be_sent() -> None:
    """A name from a file system may be half a character, and a reason may be long and have many lines."""
    wire = Wire()
    wire.log.resume(0)
    wire.log.say("bad name: a\udcff\x00b")
    wire.log.say("one\ntwo")
    wire.log.say("x" * (limits.LOG_LINE_BYTES + 1))
    lines = wire.log.take()
    assert [line.text for line in lines[:3]] == ["bad name: a?\x00b", "one", "two"]
    assert [len(line.text) for line in lines[3:]] == [limits.LOG_LINE_BYTES, 1]
    batch = LogBatch("a" * 64, 1, lines)
    assert WORKER_FRAMES.decode(encode([batch]), Language.MSGPACK) == [batch]


async def test_many_lines_are_told_once() -> None:
    wire = Wire()
    wire.log.resume(0)
    for _ in range(100):
        wire.log.feed(STDOUT, b"x\n")
    assert wire.calls == 0
    await wire.ready.wait()
    assert wire.calls == 1
    assert len(wire.texts()) == 100


async def test_a_full_batch_does_not_wait() -> None:
    wire = Wire()
    wire.log.resume(0)
    wire.log.feed(STDOUT, b"x\n" * limits.LOG_BATCH_LINES)
    assert wire.calls == 1


async def test_streams_are_split_apart_and_partial_lines_come_at_the_end() -> None:
    wire = Wire()
    wire.log.resume(0)
    wire.log.feed(STDOUT, b"out")
    wire.log.feed(STDERR, b"err\n")
    assert not wire.log.clean
    wire.log.finish()
    assert wire.texts() == ["err", "out"]
    assert wire.log.next == 2


async def test_lines_are_said_again_from_where_the_hub_wants_them() -> None:
    wire = Wire()
    wire.log.resume(0)
    wire.log.feed(STDOUT, b"0\n1\n2\n")
    assert wire.texts() == ["0", "1", "2"]
    wire.log.pause()
    wire.log.feed(STDOUT, b"3\n")
    assert wire.log.unsent()
    wire.log.resume(2)
    assert wire.texts() == ["2", "3"]


async def test_while_disconnected_old_lines_go_and_the_seq_shows_it() -> None:
    wire = Wire()
    for _ in range(3 * RING_BYTES // 1000):
        wire.log.feed(STDOUT, b"x" * 999 + b"\n")
        await wire.log.room()
    wire.log.resume(0)
    lines = []
    while batch := wire.log.take():
        lines += batch
    assert lines[0].seq > 0
    assert lines[-1].seq == wire.log.next - 1
    assert sum(len(line.text) for line in lines) <= RING_BYTES


async def test_a_slow_hub_slows_the_job_and_loses_nothing() -> None:
    wire = Wire()
    wire.log.resume(0)
    total = 5000
    got: list[str] = []

    async def produce() -> None:
        for number in range(total):
            wire.log.feed(STDOUT, f"{number:0999}\n".encode())
            await wire.log.room()
        wire.log.finish()

    producer = asyncio.create_task(produce())
    while len(got) < total:
        await wire.ready.wait()
        wire.ready.clear()
        assert sum(len(line.text) for line in wire.log._ring) <= RING_BYTES + 2000
        got += wire.texts()
    await producer
    assert [int(text) for text in got] == list(range(total))


async def test_a_producer_that_waits_goes_on_when_the_connection_is_lost() -> None:
    wire = Wire()
    wire.log.resume(0)
    wire.log.feed(STDOUT, b"x" * 1000 + b"\n")
    for _ in range(2 * RING_BYTES // 1000):
        wire.log.feed(STDOUT, b"x" * 1000 + b"\n")
    waiting = asyncio.create_task(wire.log.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    wire.log.pause()
    await waiting


async def test_past_the_cap_only_the_newest_part_is_sent_at_the_end() -> None:
    wire = Wire(most=10_000)
    wire.log.resume(0)
    for number in range(5000):
        wire.log.feed(STDOUT, f"{number:0999}\n".encode())
        await wire.log.room()
    assert wire.texts() == []
    wire.log.finish()
    texts = wire.texts()
    assert int(texts[-1]) == 4999
    assert sum(map(len, texts)) <= RING_BYTES


async def test_lines_reread_after_a_restart_are_not_said_twice() -> None:
    wire = Wire(10)
    wire.log.start_at(10)
    wire.log.resume(13)
    wire.log.feed(STDOUT, b"10\n11\n12\n")
    assert wire.log.pending == 0
    wire.log.feed(STDOUT, b"13\n14\n")
    assert wire.texts() == ["13", "14"]
