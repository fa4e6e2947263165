"""What was kept for long enough goes, whether its queue is in use or not; on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.access import access
from asman_server.core import QueuePolicy
from asman_server.core import events as ev
from asman_server.queues.registry import Registry
from asman_server.queues.retention import Retention, backfill_due_times
from asman_server.queues.shell import QueueShell
from asman_server.reply_to import ReplyTo
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store
from asman_shared.definition import Definition
from asman_shared.errors import BadRequest
from asman_shared.messages import Configured, Message, Submit
from asman_shared.states import State
from devtools.patience import PATIENCE
from tests.support.direct_writer import DirectWriter

DAY = 86_400_000
KEPT = 7 * DAY


class Hub:
    """A registry on a database, with a clock that is moved by hand."""

    def __init__(self, engine: AsyncEngine, now: int, **policy: Any) -> None:
        self.now = now
        self.store = Store(engine)
        self.committer = GroupCommitter(DirectWriter(engine))
        made = QueuePolicy(**policy)
        self.registry = Registry(self.committer, self.store, self.clock, made)
        self.retention = Retention(self.registry, self.store, self.committer, self.clock, made.retention)

    def clock(self) -> int:
        return self.now

    async def ask(self, shell: QueueShell, put: Any) -> Message:
        told: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        waiting = put(ReplyTo(1, told.set_result))
        if waiting is not None:
            await waiting
        async with asyncio.timeout(PATIENCE):
            return await told

    async def end(self, queue: str, command: str) -> str:
        """A job of this queue that is finished."""
        async with self.registry.using(queue) as shell:
            job = await self.submit(shell, command)
            await self.ask(shell, lambda origin: shell.apply(ev.CancelRequested(job, "*", origin)))
            return job

    async def submit(self, shell: QueueShell, command: str, **more: Any) -> str:
        wish = Submit(ref=1, definition=Definition(image="a", command=command), **more)
        answer: Any = await self.ask(
            shell, lambda origin: shell.submit(shell.submission(wish, access(shell.name)), origin)
        )
        return str(answer.job.id)

    async def look(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.retention.look()
            await self.committer.written()

    async def jobs(self, queue: str) -> set[str]:
        return {job.id for job in await self.store.page(queue, [], None, 500)}


@asynccontextmanager
async def opened(engine: AsyncEngine, now: int = DAY, **policy: Any) -> AsyncIterator[Hub]:
    hub = Hub(engine, now, **policy)
    writing = asyncio.get_running_loop().create_task(hub.committer.run())
    try:
        yield hub
    finally:
        await hub.registry.close()
        hub.committer.close()
        async with asyncio.timeout(PATIENCE):
            await writing


async def test_a_job_of_a_queue_that_nobody_uses_goes_at_the_end_of_its_retention(engine: AsyncEngine) -> None:
    async with opened(engine) as hub:
        old = await hub.end("q", "old")
        hub.now += KEPT // 2
        young = await hub.end("q", "young")
        await hub.look()
        assert await hub.jobs("q") == {old, young}
        assert "q" not in hub.registry.queues
    async with opened(engine, now=DAY + KEPT) as hub:
        await hub.look()
        assert await hub.jobs("q") == {young}
        assert await hub.store.result("q", old) is None
        hub.now += KEPT
        await hub.look()
        assert await hub.jobs("q") == set()


async def test_what_has_left_memory_goes_too_and_followers_are_told(engine: AsyncEngine) -> None:
    async with opened(engine, finished_kept=1) as hub, hub.registry.using("q") as shell:
        ended = {await hub.end("q", str(number)) for number in range(3)}
        await hub.committer.written()
        assert len(shell.core.jobs) == 1
        seq = shell.fanout.seq
        hub.now += KEPT
        await hub.look()
        assert await hub.jobs("q") == set()
        told = shell.fanout.missed(shell.fanout.epoch, seq)
        assert told is not None
        assert {each.message.job.id for each in told} == ended  # type: ignore[attr-defined]
        assert {each.message.job.state for each in told} == {State.REMOVED}  # type: ignore[attr-defined]
        assert shell.counts().finished == 0


async def test_many_queues_and_more_jobs_than_one_look_takes_at_a_time(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman_server.queues.retention.AT_ONCE", 4)
    async with opened(engine) as hub:
        for number in range(6):
            await hub.end(f"q{number % 3}", str(number))
            await hub.end(f"q{number % 3}", f"{number}b")
        hub.now += KEPT
        await hub.look()
        assert [await hub.jobs(f"q{number}") for number in range(3)] == [set()] * 3


async def test_a_queue_keeps_its_jobs_as_long_as_it_was_told_to_over_restarts(engine: AsyncEngine) -> None:
    async with opened(engine) as hub:
        before, other = await hub.end("q", "before"), await hub.end("other", "before")
        async with hub.registry.using("q") as shell:
            said = await hub.ask(shell, lambda origin: shell.configure(30 * DAY, origin))
        assert said == Configured(ref=1, retention=30 * DAY, own=True)
        after = await hub.end("q", "after")
    async with opened(engine, now=DAY + KEPT) as hub:
        async with hub.registry.using("q") as shell:
            assert shell.configured(2) == Configured(ref=2, retention=30 * DAY, own=True)
        await hub.look()
        assert (await hub.jobs("q"), await hub.jobs("other")) == ({before, after}, set())
        assert other
        async with hub.registry.using("q") as shell:
            said = await hub.ask(shell, lambda origin: shell.configure(0, origin))
        assert said == Configured(ref=1, retention=KEPT, own=False)
        await hub.look()
        assert await hub.jobs("q") == set()


async def test_a_retention_out_of_bounds_is_refused_with_the_bounds(engine: AsyncEngine) -> None:
    async with opened(engine, longest_retention=10 * DAY) as hub, hub.registry.using("q") as shell:
        for wrong in (1, 59_999, 10 * DAY + 1):
            with pytest.raises(BadRequest, match="1m to 10d") as caught:
                shell.configure(wrong, ReplyTo(1, print))
            assert caught.value.field == "retention"


async def test_settings_of_a_queue_go_when_it_is_empty_and_nobody_has_used_it_for_long(engine: AsyncEngine) -> None:
    async with opened(engine) as hub:
        for queue in ("empty", "full"):
            async with hub.registry.using(queue) as shell:
                await hub.ask(shell, lambda origin, shell=shell: shell.configure(30 * DAY, origin))
        await hub.end("full", "job")
        await hub.look()
        assert await hub.store.idle_queues(hub.now + 1, "", 9) == ["empty"]
        hub.now += KEPT + 1
        await hub.look()
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT queue FROM queues"))).scalars().all() == ["full"]


async def test_a_waiting_job_of_a_queue_that_nobody_uses_is_given_up_when_its_wait_is_over(engine: AsyncEngine) -> None:
    async with opened(engine) as hub:
        async with hub.registry.using("q") as shell:
            patient = await hub.submit(shell, "patient")
            hasty = await hub.submit(shell, "hasty", queue_limit=60_000)
        await hub.committer.written()
    async with opened(engine, now=DAY + 59_999) as hub:
        await hub.look()
        assert {job.state for job in await hub.store.jobs("q", [patient, hasty])} == {State.QUEUED}
        hub.now += 1
        await hub.look()
        (ended,) = await hub.store.jobs("q", [hasty])
        (waits,) = await hub.store.jobs("q", [patient])
        assert (ended.state, waits.state) == (State.FINISHED, State.QUEUED)
        assert ended.verdict is not None
        assert ended.verdict.reason == "TimedOut"


async def test_another_retention_of_the_hub_holds_for_what_is_there_but_not_against_a_queues_own_word(
    engine: AsyncEngine,
) -> None:
    await backfill_due_times(engine, KEPT)
    async with opened(engine) as hub:
        plain, own = await hub.end("plain", "job"), await hub.end("own", "job")
        async with hub.registry.using("own") as shell:
            await hub.ask(shell, lambda origin: shell.configure(30 * DAY, origin))
        assert await hub.store.due(DAY + KEPT - 1, 9) == []
        assert await hub.store.due(DAY + KEPT, 9) == [("plain", plain)]
    await backfill_due_times(engine, DAY)
    store = Store(engine)
    assert await store.due(2 * DAY, 9) == [("plain", plain)]
    assert await store.due(DAY + 30 * DAY, 9) == [("plain", plain), ("own", own)]
    await backfill_due_times(engine, DAY)
    assert await store.due(2 * DAY, 9) == [("plain", plain)]


async def test_what_is_due_is_found_by_its_index(engine: AsyncEngine) -> None:
    """A million jobs that are kept must not be looked at each minute."""
    plan = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    query = "SELECT queue, id FROM jobs WHERE due > 0 AND due <= 5 ORDER BY due LIMIT 9"
    async with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(text("SET enable_seqscan = off"))
        lines = (await connection.execute(text(f"{plan} {query}"))).all()
    assert any("jobs_by_due" in str(line) for line in lines)
