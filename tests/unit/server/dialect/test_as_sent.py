"""First-generation ids of jobs in lists: as many as are remembered and stored, in a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import UNSET
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.dialect import as_sent as module
from asman_server.dialect.as_sent import ALIASES, NOTHING, Submissions, UsedIds
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.tables import aliases
from asman_shared.definition import Definition, Requirements

QUEUE, JOB = "a-queue", "cd" * 32
IDS = [f"{number:064x}" for number in range(8)]


class Writer:
    """Writes what is to be written when it is asked to, as the group commit does."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.rows: list[tuple[str, str]] = []
        self._engine = engine

    def alias(self, alias: str, job_id: str) -> None:
        self.rows.append((alias, job_id))

    async def commit(self) -> None:
        async with self._engine.begin() as connection:
            for alias, job in self.rows:
                await connection.execute(insert(aliases).values(alias=alias, id=job))
        self.rows = []


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    made = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    await migrate(made)
    yield made
    await made.dispose()


async def use(submissions: Submissions, alias: str, queue: str = QUEUE, job: str = JOB) -> None:
    submissions.known_as(queue, job, alias)
    await submissions.prepare(queue, job)
    submissions.store(queue, job, alias)


async def test_a_new_process_has_the_ids_that_were_used_first_and_shows_the_newest(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    before = Submissions(UsedIds(engine, writer))
    for alias in (*IDS[:6], *IDS[:6]):
        await use(before, alias)
    await writer.commit()
    assert before.of(QUEUE, JOB).aliases[-1] == IDS[5]
    after = Submissions(UsedIds(engine, writer))
    await after.load(QUEUE, [JOB])
    assert after.of(QUEUE, JOB).aliases == tuple(IDS[:ALIASES])
    await use(after, IDS[6])
    assert writer.rows == [], "there is room for no more"
    assert after.of(QUEUE, JOB).aliases == (*IDS[1:ALIASES], IDS[6])


async def test_an_id_that_is_used_again_in_a_new_process_takes_no_second_place(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    await use(Submissions(UsedIds(engine, writer)), IDS[0])
    await writer.commit()
    after = Submissions(UsedIds(engine, writer))
    after.remember(QUEUE, JOB, Definition(), True, IDS[0])
    await use(after, IDS[0])
    assert [value for _, value in writer.rows] == ["debug"]
    await use(after, IDS[1])
    await writer.commit()
    assert (after.of(QUEUE, JOB).aliases, after.of(QUEUE, JOB).debug) == ((IDS[0], IDS[1]), True)
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(aliases)) == 3


async def test_each_queue_and_job_has_its_own(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    await use(Submissions(UsedIds(engine, writer)), IDS[0])
    await writer.commit()
    after = Submissions(UsedIds(engine, writer))
    for queue, job in (("another", JOB), (QUEUE, "ef" * 32)):
        await after.load(queue, [job])
        assert after.of(queue, job).aliases == ()


async def test_many_jobs_are_read_in_parts(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 3)
    writer = Writer(engine)
    before = Submissions(UsedIds(engine, writer))
    for job in IDS:
        for alias in IDS[: 1 + int(job, 16) % ALIASES]:
            await use(before, alias, job=job)
    await writer.commit()
    after = Submissions(UsedIds(engine, writer))
    await after.load(QUEUE, [*IDS, JOB])
    assert [len(after.of(QUEUE, job).aliases) for job in (*IDS, JOB)] == [1, 2, 3, 4, 1, 2, 3, 4, 0]


async def test_while_the_database_can_not_be_read_nothing_is_stored_and_the_next_use_does_it(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    writer = Writer(engine)
    empty = make_engine(f"sqlite:///{tmp_path / 'another.sqlite'}")  # without tables
    used = UsedIds(empty, writer)
    submissions = Submissions(used)
    await use(submissions, IDS[0])
    assert writer.rows == []
    assert submissions.of(QUEUE, JOB).aliases == (IDS[0],)
    await migrate(empty)
    await use(submissions, IDS[0])
    assert [alias for _, alias in writer.rows] == [IDS[0]]
    await empty.dispose()


@pytest.mark.parametrize(("debug", "shown"), [(True, True), (False, False), (None, UNSET), ("yes", UNSET)])
@pytest.mark.parametrize("cpus", [None, 1, 2])
async def test_a_new_process_knows_what_was_said_besides_ids(
    engine: AsyncEngine, debug: object, shown: object, cpus: int | None
) -> None:
    writer = Writer(engine)
    definition = Definition(requirements=Requirements(cpus=cpus) if cpus else None)
    Submissions(UsedIds(engine, writer)).remember(QUEUE, JOB, definition, debug)
    assert len(writer.rows) == (1 if isinstance(debug, bool) or cpus else 0)
    await writer.commit()
    after = Submissions(UsedIds(engine, writer))
    await after.load(QUEUE, [JOB, "ef" * 32])
    assert (after.of(QUEUE, JOB).debug, after.of(QUEUE, JOB).cpus) == (shown, cpus is not None)
    await after.load("another-queue", [JOB])
    assert after.of("another-queue", JOB) == NOTHING


async def test_what_was_said_in_this_process_wins_over_what_is_stored(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    Submissions(UsedIds(engine, writer)).remember(QUEUE, JOB, Definition(), True)
    await writer.commit()
    after = Submissions(UsedIds(engine, writer))
    after.remember(QUEUE, JOB, Definition(), False)
    await after.load(QUEUE, [JOB])
    assert after.of(QUEUE, JOB).debug is False
