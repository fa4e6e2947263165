"""What submissions said besides their jobs: as much as is remembered and stored, in a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import UNSET
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.dialect import as_sent as module
from asman_server.dialect.as_sent import ALIASES, NOTHING, AsSent, Kept, Submissions
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.row_kinds import AS_SENT, Row, RowKind
from asman_server.storage.tables import as_sent
from asman_server.storage.upserts import upsert
from asman_shared.definition import Definition, Requirements

QUEUE, JOB = "a-queue", "cd" * 32
IDS = [f"{number:064x}" for number in range(8)]


class Writer:
    """Writes what is to be written when it is asked to, as the group commit does."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.rows: list[Row] = []
        self._engine = engine

    def put(self, kind: RowKind, row: Row) -> None:
        assert kind is AS_SENT
        self.rows.append(row)

    async def commit(self) -> None:
        async with self._engine.begin() as connection:
            for queue, job, body in self.rows:
                put = upsert(self._engine.dialect, as_sent, ("queue", "id"), ("body",))
                await connection.execute(put, {"queue": queue, "id": job, "body": body})
        self.rows = []


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    made = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    await migrate(made)
    yield made
    await made.dispose()


async def used(submissions: Submissions, alias: str, queue: str = QUEUE, job: str = JOB) -> bool:
    """Uses an id of a job, which the queue has already."""
    await submissions.read(queue, job)
    return submissions.known_as(queue, job, alias)


async def submitted(
    submissions: Submissions, definition: Definition | None = None, debug: object = None, alias: str = ""
) -> bool:
    """Submits the job, which the queue has already."""
    await submissions.read(QUEUE, JOB)
    return submissions.remember(QUEUE, JOB, definition or Definition(), debug, alias)


async def test_a_new_process_has_the_newest_ids(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    before = Submissions(Kept(engine, writer))
    for alias in (*IDS[:6], *IDS[3:6]):
        await used(before, alias)
    await writer.commit()
    assert before.of(QUEUE, JOB).aliases == tuple(IDS[2:6])
    after = Submissions(Kept(engine, writer))
    await after.load(QUEUE, [JOB])
    assert after.of(QUEUE, JOB).aliases == tuple(IDS[2:6])
    await used(after, IDS[6])
    assert after.of(QUEUE, JOB).aliases == tuple(IDS[3:7])


async def test_an_id_that_is_used_again_in_a_new_process_takes_no_second_place_and_is_not_written_again(
    engine: AsyncEngine,
) -> None:
    writer = Writer(engine)
    await used(Submissions(Kept(engine, writer)), IDS[0])
    await writer.commit()
    after = Submissions(Kept(engine, writer))
    assert not await used(after, IDS[0])
    assert writer.rows == []
    assert await submitted(after, debug=True, alias=IDS[0])
    assert after.of(QUEUE, JOB) == AsSent(debug=True, aliases=(IDS[0],))
    assert len(writer.rows) == 1


async def test_each_queue_and_job_has_its_own(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    await used(Submissions(Kept(engine, writer)), IDS[0])
    await writer.commit()
    after = Submissions(Kept(engine, writer))
    for queue, job in (("another", JOB), (QUEUE, "ef" * 32)):
        await after.load(queue, [job])
        assert after.of(queue, job) == NOTHING


async def test_many_jobs_are_read_in_parts(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 3)
    writer = Writer(engine)
    before = Submissions(Kept(engine, writer))
    for job in IDS:
        for alias in IDS[: 1 + int(job, 16) % ALIASES]:
            await used(before, alias, job=job)
    await writer.commit()
    after = Submissions(Kept(engine, writer))
    await after.load(QUEUE, [*IDS, JOB])
    assert [len(after.of(QUEUE, job).aliases) for job in (*IDS, JOB)] == [1, 2, 3, 4, 1, 2, 3, 4, 0]


async def test_while_the_database_can_not_be_read_nothing_is_stored_and_the_next_use_does_it(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    writer = Writer(engine)
    empty = make_engine(f"sqlite:///{tmp_path / 'another.sqlite'}")  # without tables
    submissions = Submissions(Kept(empty, writer))
    assert await used(submissions, IDS[0])
    assert writer.rows == []
    assert submissions.of(QUEUE, JOB).aliases == (IDS[0],)
    await migrate(empty)
    assert not await used(submissions, IDS[0])
    assert len(writer.rows) == 1
    await empty.dispose()


@pytest.mark.parametrize(("debug", "shown"), [(True, True), (False, False), (None, UNSET), ("yes", UNSET)])
@pytest.mark.parametrize("cpus", [None, 1, 2])
@pytest.mark.parametrize("longest", [None, "20m"])
async def test_a_new_process_knows_what_was_said_besides_ids(
    engine: AsyncEngine, debug: object, shown: object, cpus: int | None, longest: str | None
) -> None:
    writer = Writer(engine)
    needs = Requirements(cpus=cpus, max_duration=longest) if cpus or longest else None
    await submitted(Submissions(Kept(engine, writer)), Definition(requirements=needs), debug)
    assert len(writer.rows) == (1 if isinstance(debug, bool) or needs else 0)
    await writer.commit()
    after = Submissions(Kept(engine, writer))
    await after.load(QUEUE, [JOB, "ef" * 32])
    told = after.of(QUEUE, JOB)
    assert (told.debug, told.cpus, told.duration) == (shown, cpus is not None, 1_200_000 if longest else 0)


async def test_the_newest_submission_is_stored_also_if_it_says_less(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    await submitted(Submissions(Kept(engine, writer)), debug=True, alias=IDS[0])
    await writer.commit()
    await submitted(Submissions(Kept(engine, writer)))
    await writer.commit()
    after = Submissions(Kept(engine, writer))
    await after.load(QUEUE, [JOB])
    assert after.of(QUEUE, JOB) == AsSent(aliases=(IDS[0],)), "the id is still that of the job"


async def test_what_was_said_while_the_row_could_not_be_read_wins_over_it(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    await submitted(Submissions(Kept(engine, writer)), debug=True, alias=IDS[0])
    await writer.commit()
    after = Submissions(Kept(engine, writer))
    after.remember(QUEUE, JOB, Definition(), False, IDS[1])
    assert writer.rows == [], "the ids in the row would be lost"
    await after.load(QUEUE, [JOB])
    assert after.of(QUEUE, JOB) == AsSent(debug=False, aliases=(IDS[0], IDS[1]))


async def test_a_job_that_begins_anew_has_nothing_of_an_earlier_one(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    submissions = Submissions(Kept(engine, writer))
    await submitted(submissions, debug=True, alias=IDS[0])
    submissions.begin(QUEUE, JOB)
    assert submissions.of(QUEUE, JOB) == NOTHING
    writer.rows.clear()
    submissions.remember(QUEUE, JOB, Definition(), True, IDS[0])
    assert len(writer.rows) == 1, "the row went with the earlier job"


async def test_a_row_that_can_not_be_read_costs_no_other(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    await submitted(Submissions(Kept(engine, writer)), debug=True)
    await writer.commit()
    async with engine.begin() as connection:
        await connection.execute(insert(as_sent).values(queue=QUEUE, id=IDS[0], body=b"\xc1"))
    after = Submissions(Kept(engine, writer))
    await after.load(QUEUE, [IDS[0], JOB])
    assert (after.of(QUEUE, IDS[0]), after.of(QUEUE, JOB).debug) == (NOTHING, True)


async def test_no_more_is_remembered_than_the_bound_and_the_rest_is_read_again(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    writer = Writer(engine)
    submissions = Submissions(Kept(engine, writer))
    for job in IDS[:3]:
        await used(submissions, JOB, job=job)
    await writer.commit()
    assert [submissions.of(QUEUE, job).aliases for job in IDS[:3]] == [(), (JOB,), (JOB,)]
    await submissions.load(QUEUE, [IDS[0]])
    assert submissions.of(QUEUE, IDS[0]).aliases == (JOB,)


async def test_submissions_that_say_nothing_leave_nothing(engine: AsyncEngine) -> None:
    writer = Writer(engine)
    submissions = Submissions(Kept(engine, writer))
    for job in IDS:
        submissions.begin(QUEUE, job)
        assert not submissions.remember(QUEUE, job, Definition(), None)
    assert writer.rows == []
    assert not submissions._known
    async with engine.connect() as connection:
        assert (await connection.execute(select(as_sent))).all() == []
