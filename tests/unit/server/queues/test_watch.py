"""Watches of one job: the durable state, every change of it, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_server.clock import wall_clock
from asman_server.core import QueuePolicy
from asman_server.core import events as ev
from asman_server.queues.shell import QueueShell
from asman_server.queues.watch import JobWatch
from asman_server.reply_to import ReplyTo
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store
from asman_shared.definition import Definition
from asman_shared.errors import NotFound
from asman_shared.identity import job_id
from asman_shared.messages import LogLine, Outcome, Register, Submit
from asman_shared.states import State
from tests.support.direct_writer import DirectWriter
from tests.support.submitting import submitted

WORKER = "worker-000000000"
MADE = Definition(image="a", command="b")
JOB = job_id(MADE)


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[QueueShell]:
    engine = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    await migrate(engine)
    committer = GroupCommitter(DirectWriter(engine))
    writing = asyncio.create_task(committer.run())
    made = QueueShell("q", committer, Store(engine), wall_clock, QueuePolicy())
    await made.load()
    await submitted(made, Submit(ref=1, definition=MADE, follow=False), ReplyTo(1, print))
    yield made
    await made.close()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await engine.dispose()


def begin(shell: QueueShell) -> None:
    shell.apply(ev.WorkerJoined(1, Register(incarnation=WORKER, name="w", cpus=1)))


def finish(shell: QueueShell) -> None:
    shell.apply(ev.AttemptFinished(WORKER, JOB, 1, Outcome(kind="exited", exit_code=0)))


async def test_a_watch_begins_with_the_present_state(shell: QueueShell) -> None:
    async with JobWatch(shell, JOB) as watch:
        assert (watch.state.id, watch.state.state) == (JOB, State.QUEUED)


async def test_a_job_that_is_not_there_can_not_be_watched(shell: QueueShell) -> None:
    with pytest.raises(NotFound):
        async with JobWatch(shell, "0" * 64):
            pytest.fail("it was found")


async def test_every_change_is_news_until_the_job_is_over(shell: QueueShell) -> None:
    async with JobWatch(shell, JOB) as watch:
        begin(shell)
        while watch.state.state is not State.RUNNING:
            await watch.news()
        finish(shell)
        assert (await watch.over()).state is State.FINISHED


async def test_a_job_that_is_over_is_over_at_once_and_stays_it_though_it_runs_again(shell: QueueShell) -> None:
    async with JobWatch(shell, JOB) as watch:
        begin(shell)
        finish(shell)
        await watch.over()
        await submitted(shell, Submit(ref=2, definition=MADE, reuse="never", follow=False), ReplyTo(2, print))
        async with JobWatch(shell, JOB) as later:
            assert later.state.state is not State.FINISHED
        assert (await watch.over()).state is State.FINISHED


async def test_new_lines_are_news_for_those_who_follow_the_log(shell: QueueShell) -> None:
    begin(shell)
    async with JobWatch(shell, JOB) as watch, JobWatch(shell, JOB) as other:
        await watch.follow_log()
        watch._news.clear()
        other._news.clear()
        await shell.logs.add(WORKER, JOB, 1, [LogLine(0, 1, 0, "hello")])
        shell.logs.flush()
        await watch.news()
        assert not other._news.is_set()


async def test_nothing_follows_the_job_after_the_end_of_the_block(shell: QueueShell) -> None:
    begin(shell)
    async with JobWatch(shell, JOB) as watch:
        await watch.follow_log()
        log = watch._log
        assert log is not None
        assert watch in log.followers
    assert watch not in log.followers
    watch._news.clear()
    finish(shell)
    async with JobWatch(shell, JOB) as other:
        await other.over()
    assert not watch._news.is_set()
    assert watch.state.state is not State.FINISHED
