"""The logs of a queue: open while they are written or followed, and read wherever their lines are."""

from __future__ import annotations

import asyncio

import pytest

from asman_server.core import events as ev
from asman_shared.errors import Unavailable
from asman_shared.messages import Outcome
from tests.support.log_harness import JOB, WORKER, LogHarness, line


@pytest.fixture
async def harness() -> LogHarness:
    return LogHarness()


def end(harness: LogHarness) -> None:
    harness.core.handle(ev.AttemptFinished(WORKER, JOB, 1, Outcome(kind="exited", exit_code=0)), 2)


async def test_a_log_is_opened_once_however_many_open_it(harness: LogHarness) -> None:
    first, second = await asyncio.gather(harness.logs.open(JOB), harness.logs.open(JOB))
    assert first is second
    assert list(harness.logs.open_logs) == [JOB]


async def test_a_log_that_goes_on_is_not_closed_and_one_that_is_over_is_when_nobody_follows(
    harness: LogHarness,
) -> None:
    log = await harness.logs.open(JOB)
    harness.logs.close(JOB)
    assert JOB in harness.logs.open_logs
    end(harness)
    log.followers[harness] = None  # type: ignore[index]
    harness.logs.close(JOB)
    assert JOB in harness.logs.open_logs
    log.followers.clear()
    harness.logs.close(JOB)
    harness.logs.close(JOB)
    assert harness.logs.open_logs == {}


async def test_a_log_with_lines_that_are_not_stored_stays_open_until_they_are(harness: LogHarness) -> None:
    await harness.add(line(0))
    end(harness)
    harness.logs.finished(JOB)
    harness.logs.close(JOB)
    assert JOB in harness.logs.open_logs
    harness.chunks.commit()
    assert JOB not in harness.logs.open_logs
    assert harness.chunks.kept() == [0]


async def test_only_the_worker_that_has_the_attempt_adds_lines(harness: LogHarness) -> None:
    for incarnation, attempt in (("somebody-else", 1), (WORKER, 2)):
        assert await harness.logs.add(incarnation, JOB, attempt, [line(0)]) is None
    assert await harness.logs.add(WORKER, JOB, 1, []) is None
    assert harness.logs.open_logs == {}
    assert await harness.logs.add(WORKER, JOB, 1, [line(0)]) is not None
    assert harness.job.log_next == 1
    harness.logs.flush()


async def test_lines_are_numbered_on_after_a_restart_whether_or_not_the_store_can_be_read(
    harness: LogHarness,
) -> None:
    await harness.add(*(line(seq) for seq in range(3)))
    harness.logs.flush()
    harness.chunks.commit()
    for away in (True, False):

        async def heads(_queue: str, _job: str, away: bool = away) -> list[object]:
            if away:
                raise Unavailable("the database is away")
            return list(await harness.chunks.heads("", ""))

        harness.logs._store.chunk_heads = heads  # type: ignore[method-assign, assignment]
        harness.logs.open_logs.clear()
        assert (await harness.logs.open(JOB)).next_seq == 3


async def test_a_page_is_read_from_memory_or_from_the_store_and_says_whether_more_comes(
    harness: LogHarness,
) -> None:
    await harness.add(*(line(seq) for seq in range(4)))
    assert await harness.numbers(1, 2) == ([1, 2], False)
    assert await harness.numbers(2, 10) == ([2, 3], True)
    assert await harness.numbers(4, 10) == ([], True)
    assert harness.chunks.reads == 0
    harness.logs.flush()
    harness.chunks.commit()
    harness.logs.open_logs.clear()
    assert await harness.numbers(1, 10) == ([1, 2, 3], True)
    assert [each.seq for each in await harness.logs.read_back(JOB, 3, 2)] == [1, 2]


async def test_what_is_forgotten_is_not_stored_any_more(harness: LogHarness) -> None:
    await harness.add(line(0))
    harness.logs.forget(JOB)
    harness.logs.forget(JOB)
    harness.logs.flush()
    harness.chunks.commit()
    assert (harness.logs.open_logs, harness.chunks.kept()) == ({}, [])
