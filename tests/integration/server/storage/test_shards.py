"""The fence: a commit counts only at the epoch of its hub, whoever was frozen, reconnected or pooled meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.keys.store import make_again
from asman_server.queues.retention import backfill_due_times
from asman_server.storage.commit import Commit, KeyRow, QueueRow, ShardsLost
from asman_server.storage.database import make_engine, migrate, primary_of
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.postgres import shards
from asman_server.storage.postgres.put_statement import PutStatement
from asman_server.storage.postgres.shards import GUARD, GUARDS, SHARDS, Fence, queues_of, shard_of, take_over
from asman_server.storage.postgres.writer import PostgresWriter
from asman_shared.errors import Misconfigured, Unavailable
from devtools.patience import PATIENCE
from devtools.postgres import PostgresServer
from tests.support.pgbouncer import Pgbouncer
from tests.support.rows import Ask, Followers, chunk, commit, job, job_id, row, webhook

SECRET = b"a secret of the hub" * 2


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = make_engine(database)
    await migrate(made)
    yield made
    await made.dispose()


async def owner(engine: AsyncEngine, name: str) -> PostgresWriter:
    """The writer of a hub that has just taken over."""
    primary = primary_of(engine)
    return PostgresWriter(engine, primary, Fence(await take_over(primary, name), SECRET))


async def there(database: str) -> list[str]:
    """Ids of all stored jobs, read in a statement of its own."""
    connection = await asyncpg.connect(database)
    found = [each[0] for each in await connection.fetch("SELECT id FROM jobs ORDER BY id")]
    await connection.close()
    return found


async def blocked(database: str, pid: int) -> None:
    """Returns when a session waits for a lock."""
    connection = await asyncpg.connect(database)
    async with asyncio.timeout(PATIENCE):
        while not await connection.fetchval("SELECT cardinality(pg_blocking_pids($1))", pid):
            await asyncio.sleep(0.01)
    await connection.close()


STEPS: dict[str, Any] = {"forget": [("q", job_id(9))]}


@pytest.mark.parametrize("more", [{}, STEPS], ids=["one statement", "several"])
async def test_who_was_taken_over_writes_nothing_any_more(
    database: str, engine: AsyncEngine, more: dict[str, Any]
) -> None:
    old = await owner(engine, "old")
    await old.commit(commit(jobs=[row(job(1))], **more))
    new = await owner(engine, "new")
    with pytest.raises(ShardsLost):
        await old.commit(commit(jobs=[row(job(2))], **more))
    await new.commit(commit(jobs=[row(job(3))], **more))
    assert await there(database) == [job_id(1), job_id(3)]


async def test_who_was_taken_over_while_it_started_writes_nothing_beside_its_commits_either(
    engine: AsyncEngine,
) -> None:
    old = Fence(await take_over(primary_of(engine), "old"), SECRET)
    await make_again(engine, "a mark", lambda _queue: [], old)
    await backfill_due_times(engine, 5, old)
    new = Fence(await take_over(primary_of(engine), "new"), SECRET)
    with pytest.raises(ShardsLost):
        await make_again(engine, "another mark", lambda _queue: [], old)
    with pytest.raises(ShardsLost):
        await backfill_due_times(engine, 7, old)
    assert await make_again(engine, "a mark", lambda _queue: [], new) == (0, False), "nothing has changed it"
    await backfill_due_times(engine, 7, new)


async def test_a_new_connection_brings_no_lost_queue_back(database: str, engine: AsyncEngine) -> None:
    """The session is ended, another hub takes over, and the next commit comes on a new connection."""
    old = await owner(engine, "old")
    await old.commit(commit(jobs=[row(job(1))]))
    await owner(engine, "new")
    old._drop()
    for _ in range(2):
        with pytest.raises(ShardsLost):
            await old.commit(commit(jobs=[row(job(2))]))
    assert await there(database) == [job_id(1)]


async def test_a_takeover_waits_for_the_commit_before_it_and_reads_it(
    database: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment of a commit: its transaction has passed the guard and is not over."""
    monkeypatch.setattr(shards, "PATIENCE_SECONDS", PATIENCE)
    old = await owner(engine, "old")
    await old.commit(commit(jobs=[row(job(1))]))
    other = await asyncpg.connect(database)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("UPDATE jobs SET number = 7")  # so that the commit stops behind the guard
    committing = asyncio.ensure_future(old.commit(commit(jobs=[row(job(1, attempt=2)), row(job(2))], **STEPS)))
    await blocked(database, old._connection.get_server_pid())
    taking = asyncio.ensure_future(owner(engine, "new"))
    connection = await asyncpg.connect(database)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE shards%'"
    async with asyncio.timeout(PATIENCE):
        while not await connection.fetchval(waits):
            await asyncio.sleep(0.01)
    await connection.close()
    assert not taking.done()
    await transaction.rollback()
    await other.close()
    await taking
    read = await there(database)
    await committing
    assert read == [job_id(1), job_id(2)], "all that the old owner was told is what the new one reads"
    with pytest.raises(ShardsLost):
        await old.commit(commit(jobs=[row(job(3))]))


async def test_a_session_that_holds_up_a_takeover_is_ended(
    database: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that froze in the middle of a transaction holds its rows for as long as its session lasts."""
    monkeypatch.setattr(shards, "PATIENCE_SECONDS", 0.05)
    old = await owner(engine, "old")
    await old.commit(commit(jobs=[row(job(1))]))
    assert old._fence is not None
    await old._connection.execute("BEGIN")
    assert await old._connection.fetchval(GUARD, *old._fence.of(commit(jobs=[row(job(1))])))
    new = await owner(engine, "new")
    await new.commit(commit(jobs=[row(job(2))]))
    assert await there(database) == [job_id(1), job_id(2)]


async def test_a_session_that_can_not_be_ended_keeps_its_queues(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Being told to end is not the end: the server's process is stopped, as by a disk that stalls."""
    monkeypatch.setattr(shards, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(shards, "TAKE_SECONDS", 0.5)
    old = await owner(engine, "old")
    await old.commit(commit(jobs=[row(job(1))]))
    assert old._fence is not None
    await old._connection.execute("BEGIN")
    await old._connection.fetchval(GUARD, *old._fence.of(commit(jobs=[row(job(1))])))
    pid = old._connection.get_server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="take its queues over"):
            await take_over(primary_of(engine), "new")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert len(await take_over(primary_of(engine), "new")) == SHARDS


async def test_a_takeover_without_the_right_to_end_a_session_says_so(
    postgres: PostgresServer, database: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "PATIENCE_SECONDS", 0.05)
    name = database.rpartition("/")[2]
    role = f"hub_{name}"
    postgres.sql(f"CREATE ROLE {role} LOGIN", database="postgres")
    postgres.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}", database=name)
    old = await owner(engine, "old")
    await old.commit(commit(jobs=[row(job(1))]))
    assert old._fence is not None
    await old._connection.execute("BEGIN")
    await old._connection.fetchval(GUARD, *old._fence.of(commit(jobs=[row(job(1))])))
    stranger = make_engine(database.replace("asman@", f"{role}@"))
    with pytest.raises(Misconfigured, match="all hubs on one database are the same user"):
        await take_over(primary_of(stranger), "new")
    await stranger.dispose()


async def test_the_guard_holds_through_a_pooler_of_transactions(
    postgres: PostgresServer, database: str, engine: AsyncEngine
) -> None:
    """Two hubs share one session of the server, so no lock of a session could tell them apart."""
    put = PutStatement(GUARD, GUARDS)

    async def written(connection: Any, fence: Fence, number: int) -> bool:
        change = commit(jobs=[row(job(number))])
        text, parameters = put.of(change)
        return bool(await connection.fetchval(text, *fence.of(change), *parameters))

    with Pgbouncer(postgres, "transaction", size=1) as pooler:
        old, new = [await asyncpg.connect(pooler.url(database), statement_cache_size=0) for _ in range(2)]
        first = Fence(await take_over(primary_of(engine), "old"), SECRET)
        assert await written(old, first, 1)
        second = Fence(await take_over(primary_of(engine), "new"), SECRET)
        assert not await written(old, first, 2)
        assert await written(new, second, 3)
        assert not await written(old, first, 4)
        for connection in (old, new):
            await connection.close()
    assert await there(database) == [job_id(1), job_id(3)]


async def test_two_takers_at_once_have_different_epochs_and_one_owner(engine: AsyncEngine) -> None:
    primary = primary_of(engine)
    await take_over(primary, "before")
    one, other = await asyncio.gather(take_over(primary, "one"), take_over(primary, "other"))
    assert {one[0], other[0]} == {2, 3}
    assert len(one) == len(other) == SHARDS


async def test_nobody_is_answered_after_the_queues_were_lost(engine: AsyncEngine) -> None:
    committer, followers = GroupCommitter(await owner(engine, "old")), Followers()
    await owner(engine, "new")
    running = asyncio.ensure_future(committer.run())
    committer.changed(followers, job(1), first=True)
    asked = Ask(committer, job(1))
    with pytest.raises(ShardsLost):
        await running
    assert not asked.answer.done()
    assert followers.told == []


@pytest.mark.parametrize(
    "change",
    [
        commit(jobs=[row(job(1))]),
        commit(log_chunks=[chunk(1, 0, ["x"])]),
        commit(forget=[("q", job_id(1))]),
        commit(trim=[("q", job_id(1), 2)]),
        commit(drop_chunks=[("q", job_id(1), 0)]),
        commit(webhooks=[webhook("w")]),
        commit(queues=[QueueRow("q", 1, 1, 1)]),
        commit(keys=[KeyRow("h", "q", "name", 1)]),
        commit(forget_queues=["q"]),
        commit(erase=["q"]),
        commit(forget_keys=[("q", 1)]),
    ],
)
def test_a_commit_depends_on_the_shard_of_every_queue_that_it_is_about(change: Commit) -> None:
    assert queues_of(change) == {"q"}
    fence = Fence(dict.fromkeys(range(SHARDS), 5), SECRET)
    assert fence.of(change) == ([shard_of("q", SECRET)], [5])


def test_a_commit_about_no_queue_depends_on_a_shard_too_and_a_foreign_shard_is_never_owned() -> None:
    fence = Fence({3: 7, 9: 8}, SECRET)
    assert fence.of(commit(webhooks_done=["w"])) == ([3], [7])
    foreign = next(name for name in map(str, range(SHARDS)) if shard_of(name, SECRET) not in (3, 9))
    assert fence.of(commit(jobs=[row(job(1), foreign)])) == ([shard_of(foreign, SECRET)], [-1])


def test_queues_spread_over_all_shards_by_a_secret() -> None:
    names = [f"queue-{number}" for number in range(10_000)]
    assert {shard_of(name, SECRET) for name in names} == set(range(SHARDS))
    assert [shard_of(name, SECRET) for name in names[:50]] != [shard_of(name, b"another") for name in names[:50]]
