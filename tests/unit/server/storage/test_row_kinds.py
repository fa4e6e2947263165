"""A kind of rows that a test adds passes through every part of storage without another edit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.storage import row_kinds
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.open_writer import open_writer
from asman_server.storage.reader import Store
from asman_server.storage.row_kinds import JOBS, RowKind
from asman_server.storage.sqlite import buffered_writer, write_buffer
from asman_server.storage.sqlite.buffered_writer import BufferedWriter
from asman_shared.errors import Unavailable
from devtools.patience import PATIENCE
from tests.support.rows import Followers, commit, job, row

notes = Table(
    "notes",
    MetaData(),
    Column("queue", String(128), primary_key=True),
    Column("job", String(64), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("text", LargeBinary, nullable=False),
)
OLD_KINDS = row_kinds.KINDS


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> RowKind:
    kind = RowKind(notes, about="job", since=write_buffer.version() + 1)
    monkeypatch.setattr(row_kinds, "KINDS", (*row_kinds.KINDS, kind))
    return kind


@pytest.fixture
def engine(tmp_path: Path) -> AsyncEngine:
    async def make() -> AsyncEngine:
        made = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
        await migrate(made)
        async with made.begin() as connection:
            await connection.run_sync(notes.metadata.create_all)
        await made.dispose()
        return made

    return asyncio.run(make())


async def stored(engine: AsyncEngine) -> list[tuple[object, ...]]:
    async with engine.connect() as connection:
        return sorted(tuple(found) for found in await connection.execute(select(notes)))


async def opened(engine: AsyncEngine) -> BufferedWriter:
    made = await open_writer(engine)
    assert isinstance(made, BufferedWriter)
    return made


async def test_a_planted_kind_is_written_buffered_flushed_read_and_counted(
    engine: AsyncEngine, planted: RowKind
) -> None:
    writer = await opened(engine)
    committer, one, other = GroupCommitter(writer), job(1), job(2)
    running = asyncio.ensure_future(committer.run())
    first, newer, gone = (("q", made.id, 7, 1, text) for made, text in ((one, b"a"), (one, b"b"), (other, b"c")))
    async with asyncio.timeout(PATIENCE):
        for note in (first, gone):
            committer.put(planted, note)
        await committer.written()
        committer.put(planted, newer)
        await committer.written()
        assert await stored(engine) == [], "buffered"
        await Store(engine, writer.flushed).jobs("q", [one.id])
        assert await stored(engine) == [newer, gone], "a read of the job flushes its rows"
        committer.forget(Followers(), other)
        await committer.written()
        assert await stored(engine) == [newer], "removed with the job"
    running.cancel()
    await engine.dispose()


async def test_a_planted_kind_is_flushed_by_the_flush_statement_with_the_rows_of_its_job(
    engine: AsyncEngine, planted: RowKind
) -> None:
    writer = await opened(engine)
    rows = [("q", job(number).id, 7, number, b"%d" % number) for number in range(40)]
    await writer.commit(commit(notes=rows, jobs=[row(job(number)) for number in range(40)]))
    assert await writer.flush_batch()
    found = await stored(engine)
    assert 0 < len(found) < 40, "a kind that weighs something counts for the size of a batch"
    assert [note[1] for note in found] == [job(number).id for number in range(len(found))]
    while await writer.flush_batch() and len(found) < 40:
        found = await stored(engine)
    assert found == sorted(rows)
    await engine.dispose()


async def test_a_planted_kind_survives_a_hub_that_is_killed_and_an_older_hub_refuses_it(
    engine: AsyncEngine, planted: RowKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = ("q", job(1).id, 7, 1, b"a")
    await (await opened(engine)).commit(commit(notes=[note]))
    with monkeypatch.context() as patched:
        patched.setattr(row_kinds, "KINDS", OLD_KINDS)
        with pytest.raises(Unavailable, match="newer hub"):
            await opened(engine)
    await opened(engine)
    assert await stored(engine) == [note]
    await engine.dispose()


def test_an_entry_of_a_hub_without_the_planted_kind_is_read(planted: RowKind, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(row_kinds, "KINDS", OLD_KINDS)
        entry = write_buffer.encode_entry(commit(jobs=[row(job(1))]).puts)
    found = write_buffer.decode_entry(entry)
    assert JOBS.rows(found) == [row(job(1))]
    assert planted.rows(found) == []


async def test_a_large_commit_writes_a_planted_kind_at_once(
    engine: AsyncEngine, planted: RowKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_writer, "ENTRY_BYTES", 10)
    note = ("q", job(1).id, 7, 1, b"a" * 20)
    await (await opened(engine)).commit(commit(notes=[note]))
    assert await stored(engine) == [note]
    await engine.dispose()


def test_a_table_whose_key_does_not_come_first_is_refused() -> None:
    table = Table("late", MetaData(), Column("body", LargeBinary), Column("id", String(64), primary_key=True))
    with pytest.raises(AssertionError, match="late"):
        RowKind(table, about="id")
