"""Many jobs submitted at once to a queue that is not whole in memory: one question, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asman_server.clock import wall_clock
from asman_server.core import Job, QueuePolicy
from asman_server.core import events as ev
from asman_server.queues.shell import QueueShell
from asman_server.reply_to import ReplyTo
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Store
from asman_shared.definition import Definition
from asman_shared.errors import Unavailable
from asman_shared.identity import job_id
from asman_shared.messages import Message, Submit
from devtools.patience import PATIENCE
from tests.support.direct_writer import DirectWriter
from tests.support.submitting import submitted


class Asked(Store):
    """A store that counts what it is asked, and can be made to answer late."""

    asked = 0
    late: asyncio.Event | None = None
    away = False

    async def ids(self, queue: str, after: str, limit: int) -> list[str]:
        if self.away:
            raise Unavailable("the disk is away")
        return await super().ids(queue, after, limit)

    async def jobs(self, queue: str, ids: Any) -> list[Job]:
        self.asked += 1
        found = await super().jobs(queue, ids)
        if self.late is not None:
            await self.late.wait()
        return found


def definition(number: int) -> Definition:
    return Definition(image="a", command=str(number))


async def submit(shell: QueueShell, number: int) -> Any:
    told: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    await submitted(shell, Submit(ref=1, definition=definition(number)), ReplyTo(1, told.set_result))
    async with asyncio.timeout(PATIENCE):
        return await told


async def end(shell: QueueShell, committer: GroupCommitter, number: int) -> None:
    """A job that has ended, been made durable, and left memory for the next one."""
    await submit(shell, number)
    shell.apply(ev.CancelRequested(job_id(definition(number)), "*", ReplyTo(1, lambda _: None)))
    async with asyncio.timeout(PATIENCE):
        await committer.written()


@pytest.fixture
async def fresh(tmp_path: Path) -> Any:
    engine = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    await migrate(engine)
    committer, store = GroupCommitter(DirectWriter(engine)), Asked(engine)
    shell = QueueShell("q", committer, store, wall_clock, QueuePolicy(finished_kept=1))
    await shell.load()
    writing = asyncio.get_running_loop().create_task(committer.run())
    for number in range(3):
        await end(shell, committer, number)
    assert not shell.core.complete
    store.asked = 0
    yield shell, committer, store
    committer.close()
    await writing
    await shell.close()
    await engine.dispose()


@pytest.fixture
async def scene(fresh: Any) -> Any:
    """The queue, loaded again from the store."""
    older, committer, store = fresh
    await older.close()
    shell = QueueShell("q", committer, store, wall_clock, QueuePolicy(finished_kept=1))
    await shell.load()
    store.asked = 0
    yield shell, committer, store
    await shell.close()


async def test_a_queue_that_saw_all_its_jobs_leave_asks_for_those_alone(fresh: Any) -> None:
    shell, _, store = fresh
    await shell.recall.ahead([job_id(definition(number)) for number in range(100, 150)])
    assert (await submit(shell, 100)).answer == "queued"
    assert store.asked == 0
    assert await shell.recall.job(job_id(definition(0))) is not None
    assert store.asked == 1


async def test_the_store_is_asked_once_for_all(scene: Any) -> None:
    shell, _, store = scene
    await shell.recall.ahead([job_id(definition(number)) for number in range(100, 150)])
    assert store.asked == 1
    for number in range(100, 150):
        assert (await submit(shell, number)).answer == "queued"
    assert store.asked == 1


async def test_a_queue_that_was_taken_up_learns_what_is_stored_and_asks_no_more_for_what_is_not(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman_server.queues.recall.PAGE", 2)
    shell, _, store = scene
    for number in range(100, 102):
        assert (await submit(shell, number)).answer == "queued"
    assert store.asked == 2
    async with asyncio.timeout(PATIENCE):
        while not shell.core.knows_stored:
            await asyncio.sleep(0)
    for number in range(102, 150):
        assert (await submit(shell, number)).answer == "queued"
    assert store.asked == 2
    for number in range(3):
        assert await shell.recall.job(job_id(definition(number))) is not None
    assert store.asked == 2 + 3


async def test_while_the_database_can_not_be_read_what_is_stored_is_learned_later(scene: Any) -> None:
    shell, _, store = scene
    store.away = True
    for number in range(100, 110):
        assert (await submit(shell, number)).answer == "queued"
    assert not shell.core.knows_stored
    store.away = False
    for number in range(110, 113):
        await submit(shell, number)
    async with asyncio.timeout(PATIENCE):
        while not shell.core.knows_stored:
            await asyncio.sleep(0)


async def test_what_the_store_has_is_found_and_keeps_its_attempts(scene: Any) -> None:
    shell, _, _ = scene
    before = (await shell.recall.job(job_id(definition(0)))).rev
    ids = [job_id(definition(number)) for number in (0, 1, 7)]
    await shell.recall.ahead(ids)
    assert (await submit(shell, 0)).job.rev > before
    assert (await submit(shell, 7)).answer == "queued"


async def test_what_is_submitted_and_ends_while_the_store_is_read_is_not_taken_for_absent(scene: Any) -> None:
    shell, committer, store = scene
    store.late = asyncio.Event()
    looking = asyncio.ensure_future(shell.recall.ahead([job_id(definition(number)) for number in (200, 201)]))
    while not store.asked:
        await asyncio.sleep(0)
    late, store.late = store.late, None
    await end(shell, committer, 200)
    rev = shell.core.jobs[job_id(definition(200))].rev
    await end(shell, committer, 202)
    await end(shell, committer, 203)
    assert job_id(definition(200)) not in shell.core.jobs
    late.set()
    await looking
    found = await shell.recall.job(job_id(definition(200)))
    assert found is not None
    assert found.rev >= rev
    assert await shell.recall.job(job_id(definition(201))) is None


async def test_what_is_remembered_as_absent_is_bounded(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asman_server.queues.recall.KNOWN_MISSING", 10)
    shell, _, _ = scene
    for start in range(0, 100, 5):
        await shell.recall.ahead([f"{number:064x}" for number in range(start, start + 5)])
        assert len(shell.recall._missing) <= 15


async def test_the_end_of_one_removal_does_not_end_a_later_one_of_a_new_job_with_the_id(scene: Any) -> None:
    """The database may still hold a row of the job until its second removal is durable."""
    shell, committer, store = scene
    await end(shell, committer, 7)
    await end(shell, committer, 8)
    assert job_id(definition(7)) not in shell.core.jobs, "it is in the store alone"
    shell.recall.forgetting(job_id(definition(7)), (1, 5))
    shell.recall.forgetting(job_id(definition(7)), (2, 3))
    shell.recall.forgotten(job_id(definition(7)), (1, 5))
    asked = store.asked
    assert await shell.recall.job(job_id(definition(7))) is None
    assert store.asked == asked
    shell.recall.forgotten(job_id(definition(7)), (2, 3))
    assert await shell.recall.job(job_id(definition(7))) is not None, "in this test the row was never removed"
