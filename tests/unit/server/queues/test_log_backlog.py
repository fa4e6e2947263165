"""Log bytes that wait for the database: bounded for each queue and for the hub, and whoever waits is woken."""

from __future__ import annotations

import asyncio

import pytest

from asman_server.queues import queue_logs as module
from asman_server.queues.log_backlog import LogBacklog
from asman_server.queues.queue_logs import QueueLogs
from devtools.patience import PATIENCE
from tests.support.log_harness import JOB, LogHarness, line


async def waits(doing: asyncio.Future[None]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not doing.done()


async def test_at_the_bound_there_is_room_and_past_it_there_is_none() -> None:
    log_backlog = LogBacklog(100)
    log_backlog.add(100)
    async with asyncio.timeout(PATIENCE):
        await log_backlog.room()
    log_backlog.add(1)
    first, gone = asyncio.ensure_future(log_backlog.room()), asyncio.ensure_future(log_backlog.room())
    assert await waits(first)
    gone.cancel()
    log_backlog.free(1)
    async with asyncio.timeout(PATIENCE):
        await first


async def test_many_queues_share_the_bound_of_the_hub() -> None:
    """Each of them is far from its own."""
    hub = LogBacklog(250)
    queues = [LogBacklog(100, hub) for _ in range(3)]
    for queue in queues:
        queue.add(90)
    assert all(queue.full for queue in queues)
    waiting = [asyncio.ensure_future(queue.room()) for queue in queues]
    assert await waits(waiting[0])
    queues[1].free(90)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)
    assert hub.bytes == 180


async def test_whoever_waits_for_both_waits_for_both() -> None:
    hub = LogBacklog(150)
    one, other = LogBacklog(100, hub), LogBacklog(100, hub)
    one.add(101)
    other.add(60)
    waiting = asyncio.ensure_future(one.room())
    one.free(5)
    assert await waits(waiting), "the hub has no room"
    one.add(50)
    other.free(60)
    assert await waits(waiting), "the queue has none again"
    one.free(50)
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_floods_in_many_jobs_fill_the_hub_to_its_bound_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them adds, then waits for room, as a worker's connection does."""
    monkeypatch.setattr(module, "QUEUE_BYTES", 2000)
    hub = LogBacklog(3000)
    harnesses = [LogHarness() for _ in range(10)]
    for harness in harnesses:
        harness.logs = QueueLogs("q", harness.core, harness.logs._committer, harness.logs._store, hub)

    async def flood(harness: LogHarness) -> None:
        for number in range(50):
            await harness.add(line(number, "x" * 68))
            harness.logs.flush()
            await harness.logs.log_backlog.room()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        floods = [tasks.create_task(flood(harness)) for harness in harnesses]
        most = 0
        while not all(each.done() for each in floods):
            for _ in range(20):
                await asyncio.sleep(0)
            most = max(most, hub.bytes)
            for harness in harnesses:
                harness.chunks.commit()
    assert 3000 < most <= 3000 + len(harnesses) * 100, "each connection may be past it by what it had in hand"
    assert hub.bytes == 0
    assert [harness.core.jobs[JOB].log_next for harness in harnesses] == [50] * 10
