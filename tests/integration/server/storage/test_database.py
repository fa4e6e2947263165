"""One set of promises, kept by both databases: SQLite in a file, and a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.storage.commit import CommitWriter
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store
from asman_shared.messages import JobState
from tests.support.rows import PATIENCE, Ask, Followers, commit, job, row


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
