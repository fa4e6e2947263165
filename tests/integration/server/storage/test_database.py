"""One set of promises, kept by both databases: SQLite in a file, and a real Postgres."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.storage import database
from asman_server.storage.commit import CommitWriter, Unwritable
from asman_server.storage.database import close_engine, make_engine
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store
from asman_shared.messages import JobState
from devtools.patience import PATIENCE
from devtools.postgres import PostgresServer
from tests.support.rows import Ask, Followers, chunk, commit, job, row, webhook


async def test_readers_see_what_is_committed_while_a_commit_is_under_way(
    engine: AsyncEngine, writer: CommitWriter, store: Store
) -> None:
    await writer.commit(commit(jobs=[row(job(1))]))
    assert await store.queues_at_work() == []
    async with engine.connect() as connection:
        await connection.execute(text("UPDATE jobs SET state = 'Running'"))
        async with asyncio.timeout(PATIENCE):
            assert await store.queues_at_work() == []
        await connection.commit()
    assert await store.queues_at_work() == ["q"]


# --------------------------------------------------------------------------------------------------- group commit


@pytest.fixture
async def committer(writer: CommitWriter, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GroupCommitter]:
    monkeypatch.setattr("asman_server.storage.group_commit.RETRY_LAST", 0.2)
    made = GroupCommitter(writer)
    running = asyncio.ensure_future(made.run())
    yield made
    made.close()
    async with asyncio.timeout(PATIENCE):
        await running


async def test_answers_come_after_the_commit_that_they_speak_of(committer: GroupCommitter, store: Store) -> None:
    followers = Followers()
    for n in range(1, 200):
        made = job(n)
        committer.changed(followers, made, first=True)
        asked = Ask(committer, made)
        if n % 20 == 0:
            said = await asked.get()
            assert isinstance(said, JobState)
            assert len(await store.jobs("q", [made.id])) == 1
            assert (made.id, made.rev) in followers.told


async def test_what_changes_while_a_commit_is_written_is_in_the_next(committer: GroupCommitter, store: Store) -> None:
    followers = Followers()
    made = job(1)
    for rev in range(1, 51):
        made.rev = rev
        committer.changed(followers, made, first=rev == 1)
        await asyncio.sleep(0)
    await Ask(committer, made).get()
    assert (await store.jobs("q", [made.id]))[0].rev == 50
    assert followers.told[-1] == (made.id, 50)
    assert len(followers.told) < 50, "ten changes are one write"


async def test_a_value_that_no_column_takes_is_told_apart_from_a_database_that_is_away(writer: CommitWriter) -> None:
    bad = replace(webhook("w"), url="half a pair: \ud800")
    with pytest.raises(Unwritable):
        await writer.commit(commit(jobs=[row(job(1))], webhooks=[bad]))
    await writer.commit(commit(jobs=[row(job(1))]))


async def test_a_row_that_the_database_refuses_holds_up_nothing_else(committer: GroupCommitter, store: Store) -> None:
    followers = Followers()
    good, called, undefined = job(1), job(2), job(3)
    for made in (good, called, undefined):
        committer.changed(followers, made, first=True)
    committer.webhook(replace(webhook("w"), url="half a pair: \ud800"), called.id)
    committer.alias("half a pair: \ud800", undefined.id)
    written = asyncio.Event()
    committer.lines(chunk(1, 0, ["x"])._replace(job="half a pair: \ud800"), written.set)
    asked = [Ask(committer, made) for made in (good, called, undefined)]
    assert isinstance(await asked[0].get(), JobState)
    assert isinstance(await asked[1].get(), JobState), "only its webhook is lost"
    assert isinstance(await asked[2].get(), Unwritable)
    assert written.is_set()
    assert [made.id for made in await store.jobs("q", [good.id, called.id, undefined.id])] == [good.id, called.id]
    assert await store.webhooks(10, (), ()) == []
    assert followers.given_up == [(undefined.id, undefined.rev, False, True)]
    assert committer.failing is None


async def test_closing_waits_a_bounded_time_for_a_database_that_does_not_answer(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "CLOSE_SECONDS", 0.1)
    engine = make_engine(postgres.new_database())
    pids: list[int] = []
    async with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            pids.append((await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE):
            await close_engine(engine)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "asman.hub.database"]
    assert "its connections are cut off" in line
    gc.collect()  # a connection that was only forgotten would warn, and a warning is an error


async def test_closing_a_database_that_answers_says_nothing(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(postgres.new_database())
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SELECT 1")
    await close_engine(engine)
    assert not [record for record in caplog.records if record.name == "asman.hub.database"]
