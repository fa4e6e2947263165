"""The log of a job while it lives: numbered, stored in chunks, bounded, and never told wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from asman_server.core import events as ev
from asman_server.queues import job_log as module
from asman_server.queues.job_log import JUMP, JobLog
from asman_shared import limits
from asman_shared.encoded import EncodedMessage
from asman_shared.messages import LogLines, Outcome
from devtools.patience import PATIENCE
from tests.support.log_harness import JOB, WORKER, LogHarness, line


class Reader:
    """A follower that keeps what it is pushed."""

    def __init__(self) -> None:
        self.seen: list[tuple[list[int], int | None]] = []

    def lines(self, encoded: EncodedMessage, first: int, last: int) -> None:
        message = encoded.message
        assert isinstance(message, LogLines)
        numbers = [one.seq for one in message.lines]
        assert (first, last) == (numbers[0], numbers[-1])
        self.seen.append((numbers, message.gap))


@pytest.fixture
async def harness() -> AsyncIterator[LogHarness]:
    made = LogHarness()
    yield made
    made.logs.flush()


async def opened(harness: LogHarness) -> tuple[JobLog, Reader]:
    log, reader = await harness.logs.open(JOB), Reader()
    log.followers[reader] = None
    return log, reader


async def test_lines_are_told_at_once_and_stored_in_one_chunk(harness: LogHarness) -> None:
    log, reader = await opened(harness)
    await harness.add(line(0), line(1))
    await harness.add(line(2))
    assert reader.seen == [([0, 1], None), ([2], None)]
    assert (harness.job.log_next, log.next_seq) == (3, 3)
    assert harness.chunks.waiting == []
    harness.logs.flush()
    harness.chunks.commit()
    assert harness.chunks.kept() == [0, 1, 2]
    assert list(harness.chunks.stored) == [0]
    assert (log.log_backlog, log.stored_to) == (0, 3)


async def test_what_is_sent_again_is_passed_over(harness: LogHarness) -> None:
    _, reader = await opened(harness)
    await harness.add(line(0), line(1), line(2))
    await harness.add(line(1), line(2), line(3))
    await harness.add(line(0))
    assert [numbers for numbers, _ in reader.seen] == [[0, 1, 2], [3]]


async def test_lines_out_of_order_and_doubled_in_one_batch_are_passed_over(harness: LogHarness) -> None:
    _, reader = await opened(harness)
    await harness.add(line(5), line(3), line(5), line(6), line(1))
    assert reader.seen == [([5, 6], 5)]
    assert harness.job.log_next == 7


async def test_lines_that_are_missing_are_an_explicit_gap(harness: LogHarness) -> None:
    _, reader = await opened(harness)
    await harness.add(line(0))
    await harness.add(line(10))
    assert reader.seen == [([0], None), ([10], 10)]


async def test_lines_that_are_missing_inside_a_batch_are_an_explicit_gap(harness: LogHarness) -> None:
    _, reader = await opened(harness)
    await harness.add(line(0), line(1), line(4), line(5), line(9))
    assert reader.seen == [([0, 1], None), ([4, 5], 4), ([9], 9)]


async def test_a_made_up_number_does_not_use_up_those_of_later_lines(harness: LogHarness) -> None:
    _, reader = await opened(harness)
    await harness.add(line(2**53 - 1), line(JUMP + 1), line(1))
    assert reader.seen == [([1], 1)]
    assert harness.job.log_next == 2
    harness.core.handle(ev.AttemptFinished(WORKER, JOB, 1, Outcome(kind="exited", exit_code=0, lines=2**53 - 1)), 2)
    assert harness.job.log_next == 2


async def test_a_line_longer_than_any_may_be_is_cut(harness: LogHarness) -> None:
    """A worker cuts it into several; one that does not must not make frames that no client reads."""
    log = await harness.logs.open(JOB)
    await harness.add(line(0, "x" * (limits.LOG_LINE_BYTES + 1)), line(1, "y" * limits.LOG_LINE_BYTES))
    first, second = log.recent
    assert (len(first.text), first.text[-1]) == (limits.LOG_LINE_BYTES, "…")
    assert second.text == "y" * limits.LOG_LINE_BYTES


async def test_a_large_batch_is_stored_without_waiting_for_the_clock(
    harness: LogHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 200)
    await harness.add(*(line(n, "x" * 50) for n in range(4)))
    assert len(harness.chunks.waiting) == 1


async def test_past_its_bound_head_and_tail_are_kept() -> None:
    harness = LogHarness(log_bytes=1000)
    log = await harness.logs.open(JOB)
    for number in range(100):
        await harness.add(line(number, "x" * 68))
        log.flush()
        harness.chunks.commit()
    kept = harness.chunks.kept()
    assert kept[:5] == [0, 1, 2, 3, 4], "the head stays"
    assert kept[-5:] == [95, 96, 97, 98, 99], "the tail moves on"
    assert len(kept) == 10
    log.recent.clear()
    lines, at_end = await harness.logs.read(JOB, 0, 1000)
    assert [one.seq for one in lines] == kept
    assert at_end


async def test_a_log_that_is_taken_up_again_goes_on_counting_its_bound() -> None:
    harness = LogHarness(log_bytes=1000)
    for number in range(20):
        await harness.add(line(number, "x" * 68))
        harness.logs.flush()
        harness.chunks.commit()
    harness.logs.open_logs.clear()
    log = await harness.logs.open(JOB)
    assert log.next_seq == 20
    await harness.add(line(20, "x" * 68))
    harness.logs.flush()
    harness.chunks.commit()
    kept = harness.chunks.kept()
    assert len(kept) == 10
    assert kept[-1] == 20


async def test_stored_lines_leave_memory_beyond_what_is_kept_fresh(
    harness: LogHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT_BYTES", 500)
    log, _ = await opened(harness)
    await harness.add(*(line(n, "x" * 68) for n in range(20)))
    harness.logs.flush()
    assert len(log.recent) == 20, "what is not stored yet stays"
    harness.chunks.commit()
    assert [one.seq for one in log.recent] == [15, 16, 17, 18, 19]
    assert await harness.numbers(15) == ([15, 16, 17, 18, 19], True)
    assert harness.chunks.reads == 0
    assert await harness.numbers(3, limit=4) == ([3, 4, 5, 6], False)
    assert harness.chunks.reads == 1


async def test_a_log_that_nobody_follows_keeps_less_at_hand(
    harness: LogHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNFOLLOWED_BYTES", 100)
    log = await harness.logs.open(JOB)
    await harness.add(*(line(n, "x" * 68) for n in range(20)))
    harness.logs.flush()
    harness.chunks.commit()
    assert [one.seq for one in log.recent] == [19]


async def test_a_page_of_fresh_lines_is_bounded_in_bytes(harness: LogHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a reader that comes while the database is away would be sent a frame larger than any may be."""
    monkeypatch.setattr(limits, "LOG_PAGE_BYTES", 300)
    await harness.add(*(line(n, "x" * 68) for n in range(10)))
    assert await harness.numbers(0) == ([0, 1, 2], False)
    assert await harness.numbers(8) == ([8, 9], True)


async def test_reading_past_the_end_is_the_end(harness: LogHarness) -> None:
    await harness.add(line(0))
    assert await harness.numbers(1) == ([], True)
    assert await harness.numbers(99) == ([], True)


async def test_what_is_not_stored_yet_is_read_after_what_is(harness: LogHarness) -> None:
    """The store has lost a head that was never there; the reader gets what is here."""
    log = await harness.logs.open(JOB)
    await harness.add(line(5), line(6))
    assert await harness.numbers(0) == ([5, 6], True)
    assert log.log_backlog


async def test_the_log_of_an_attempt_that_is_not_the_live_one_is_dropped(harness: LogHarness) -> None:
    assert await harness.logs.add(WORKER, JOB, 7, [line(0)]) is None
    assert await harness.logs.add("somebody-else-00", JOB, 1, [line(0)]) is None
    assert await harness.logs.add(WORKER, "f" * 64, 1, [line(0)]) is None
    assert await harness.logs.add(WORKER, JOB, 1, []) is None
    assert harness.logs.open_logs == {}


async def test_an_attempt_that_ends_while_its_log_is_opened_adds_nothing(harness: LogHarness) -> None:
    harness.job.log_next = 1

    async def heads(_queue: str, _job: str) -> list[object]:
        harness.core.handle(ev.CancelRequested(JOB), 2)
        return []

    harness.logs._store.chunk_heads = heads  # type: ignore[assignment,method-assign]
    assert await harness.logs.add(WORKER, JOB, 1, [line(1)]) is None
    assert harness.logs.open_logs == {}


async def test_a_finished_log_leaves_memory_once_it_is_stored_and_nobody_follows(harness: LogHarness) -> None:
    log, reader = await opened(harness)
    await harness.add(line(0))
    harness.core.handle(ev.AttemptFinished(WORKER, JOB, 1, Outcome(kind="exited", exit_code=0, lines=1)), 2)
    harness.logs.finished(JOB)
    harness.logs.close(JOB)
    assert harness.logs.open_logs, "its lines are not stored yet"
    harness.chunks.commit()
    assert harness.logs.open_logs, "somebody follows it"
    del log.followers[reader]
    harness.logs.close(JOB)
    assert harness.logs.open_logs == {}
    assert await harness.numbers() == ([0], True)
    harness.logs.finished(JOB)
    harness.logs.begin(JOB)


async def test_a_new_run_keeps_the_lines_before_it_and_has_chunks_and_a_bound_of_its_own(harness: LogHarness) -> None:
    log, reader = await opened(harness)
    await harness.add(line(0), line(1))
    harness.logs.begin(JOB)
    assert (log.next_seq, log.size) == (2, 0)
    await harness.add(line(2))
    assert log.size > 0
    harness.logs.flush()
    harness.chunks.commit()
    assert harness.chunks.kept() == [0, 1, 2]
    assert list(harness.chunks.stored) == [0, 2]
    assert [numbers for numbers, _ in reader.seen] == [[0, 1], [2]]


async def test_rare_lines_share_a_chunk_that_is_stored_again_as_it_grows(
    harness: LogHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a line a second for a week would be half a million rows, and reading them a query for each."""
    monkeypatch.setattr(module, "SMALL_BYTES", 500)
    for number in range(12):
        await harness.add(line(number, "x" * 68))
        harness.logs.flush()
        harness.chunks.commit()
    assert harness.chunks.kept() == list(range(12))
    assert list(harness.chunks.stored) == [0, 5, 10]


async def test_a_chunk_that_grows_counts_once_toward_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_BYTES", 500)
    harness = LogHarness(log_bytes=64_000)
    for number in range(1000):
        await harness.add(line(number, "x" * 68))
        harness.logs.flush()
        harness.chunks.commit()
    kept = harness.chunks.kept()
    assert kept[:320] == list(range(320)), "half of the bound is head"
    assert kept[-1] == 999
    assert 630 <= len(kept) <= 650


async def test_a_new_run_does_not_store_lines_of_the_run_before_again(harness: LogHarness) -> None:
    await harness.add(line(0))
    harness.logs.flush()
    harness.chunks.commit()
    harness.logs.begin(JOB)
    harness.chunks.stored.clear()
    await harness.add(line(1))
    harness.logs.flush()
    harness.chunks.commit()
    assert harness.chunks.kept() == [1]


async def test_a_batch_is_told_and_stored_in_pieces(harness: LogHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of a worker may be as large as any may be; in another language it would be larger."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 200)
    monkeypatch.setattr(module, "SMALL_BYTES", 0)
    _, reader = await opened(harness)
    await harness.add(*(line(n, "x" * 68) for n in range(5)))
    assert [numbers for numbers, _ in reader.seen] == [[0, 1], [2, 3], [4]]
    harness.chunks.commit()
    assert list(harness.chunks.stored) == [0, 2]


async def test_pages_go_back_from_any_line_here_and_in_the_store(
    harness: LogHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNFOLLOWED_BYTES", 500)
    await harness.add(*(line(n, "x" * 68) for n in range(20)))
    harness.logs.flush()
    harness.chunks.commit()
    assert [one.seq for one in await harness.logs.read_back(JOB, 20, 3)] == [17, 18, 19]
    assert [one.seq for one in await harness.logs.read_back(JOB, 18, 9)] == [15, 16, 17]
    assert harness.chunks.reads == 0
    assert [one.seq for one in await harness.logs.read_back(JOB, 15, 4)] == [11, 12, 13, 14]
    assert harness.chunks.reads == 1
    assert await harness.logs.read_back(JOB, 0, 4) == []
    monkeypatch.setattr(limits, "LOG_PAGE_BYTES", 200)
    assert [one.seq for one in await harness.logs.read_back(JOB, 20, 9)] == [18, 19]


async def test_what_waits_for_the_store_is_counted_and_what_is_removed_is_not(harness: LogHarness) -> None:
    await harness.add(line(0, "x" * 68), line(1, "x" * 68))
    assert harness.logs.log_backlog.bytes == 200
    harness.logs.flush()
    await harness.add(line(2, "x" * 68))
    harness.logs.forget(JOB)
    assert harness.logs.log_backlog.bytes == 200, "the group commit has it"
    harness.chunks.commit()
    assert harness.logs.log_backlog.bytes == 0


async def test_lines_are_handed_over_by_the_clock(harness: LogHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asman_server.queues.queue_logs.FLUSH_SECONDS", 0.0)
    await harness.add(line(0))
    async with asyncio.timeout(PATIENCE):
        while not harness.chunks.waiting:
            await asyncio.sleep(0)


async def test_while_nothing_can_be_stored_a_log_has_one_chunk_in_the_group_commit(
    harness: LogHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a hub whose database is away for hours would be filled by chunks of a line each."""
    log = await harness.logs.open(JOB)
    for number in range(50):
        await harness.add(line(number))
        harness.logs._timed()
    assert len(harness.chunks.waiting) == 1
    harness.chunks.commit()
    assert len(harness.chunks.waiting) == 1, "the rest follows as soon as it can"
    harness.chunks.commit()
    assert harness.chunks.kept() == list(range(50))
    assert (log.log_backlog, harness.logs.log_backlog.bytes, harness.chunks.waiting) == (0, 0, [])
    await harness.add(line(50))
    harness.logs._timed()
    await harness.add(line(51))
    harness.logs._timed()
    harness.logs.finished(JOB)
    assert len(harness.chunks.waiting) == 2, "the last lines go with the end of the job"


async def test_a_removed_job_takes_its_log_along(harness: LogHarness) -> None:
    await harness.add(line(0))
    harness.logs.forget(JOB)
    assert harness.logs.open_logs == {}
