"""Commits that are durable before they are in their tables: nothing is lost, and nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.core import Job
from asman_server.storage import tables
from asman_server.storage.commit import Commit, LogChunk, Unwritable
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.open_writer import open_writer
from asman_server.storage.reader import Store, pack_definition
from asman_server.storage.row_kinds import Puts
from asman_server.storage.sqlite import buffered_writer, checkpoints, wal_preallocation
from asman_server.storage.sqlite.buffered_writer import BufferedWriter
from asman_server.storage.sqlite.write_buffer import PARTITIONS, WriteBuffer, encode_entry, version
from asman_shared.definition import Definition
from asman_shared.errors import Unavailable
from asman_shared.messages import Result
from asman_shared.states import State
from devtools.patience import PATIENCE
from tests.support.direct_writer import DirectWriter
from tests.support.rows import chunk, commit, job, row, webhook

KEPT = ("jobs", "definitions", "results", "log_chunks", "definition_blobs", "result_blobs", "aliases")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    await migrate(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
async def writer(engine: AsyncEngine) -> BufferedWriter:
    made = await open_writer(engine)
    assert isinstance(made, BufferedWriter)
    return made


async def settled(writer: BufferedWriter) -> None:
    """Returns when no flush is running any more."""
    await writer.connection.run(lambda: None)


async def count(engine: AsyncEngine, table: str) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(tables.metadata.tables[table])) or 0)


async def everything(engine: AsyncEngine) -> dict[str, list[Any]]:
    """What stands in the tables."""
    async with engine.connect() as connection:
        return {
            name: sorted(tuple(found) for found in await connection.execute(select(tables.metadata.tables[name])))
            for name in KEPT
        }


def spread(number: int, state: State = State.QUEUED, **more: Any) -> Job:
    """A job whose id is anywhere, as hashes are."""
    made = job(number, state, **more)
    made.id = sha256(bytes([number])).hexdigest()
    return made


def near(number: int, digits: str = "00", **more: Any) -> Job:
    """A job in the first partition, or in that of other digits; otherwise like `spread`."""
    made = spread(number, **more)
    made.id = digits + made.id[2:]
    return made


def lines(number: int, first: int, text: str) -> LogChunk:
    return chunk(number, first, [text])._replace(job=spread(number).id)


async def test_what_is_committed_is_read_although_it_is_not_in_its_table(
    engine: AsyncEngine, writer: BufferedWriter
) -> None:
    made = spread(1, State.FINISHED)
    result = msgspec.msgpack.encode(Result(worker="w"))
    await writer.commit(
        commit(
            jobs=[row(made)],
            definitions=[(made.id, pack_definition(Definition(image="a")))],
            results=[("q", made.id, result)],
            log_chunks=[lines(1, 0, "one")],
            aliases=[("a" * 64, made.id)],
        )
    )
    assert await count(engine, "jobs") == 0
    assert await count(engine, "daybook") == 1
    other = Store(engine, writer.flushed)
    assert await other.jobs("q", [spread(2).id]) == []
    assert await count(engine, "jobs") == 0, "what nobody asks for stays where it is"
    store = Store(engine, writer.flushed)
    assert await store.unaliased("a" * 64) == made.id
    assert await store.jobs("q", [made.id]) == [made]
    assert await store.result("q", made.id) == Result(worker="w")
    assert await store.definition(made.id) == Definition(image="a")
    assert [line.text for line in await store.lines("q", made.id, 0, 9)] == ["one"]
    assert await count(engine, "daybook") == 0


async def test_a_hub_that_is_killed_leaves_nothing_behind(engine: AsyncEngine, writer: BufferedWriter) -> None:
    for number in range(5):
        await writer.commit(commit(jobs=[row(spread(number % 3, rev=number))]))
    assert await count(engine, "jobs") == 0
    again = await open_writer(engine)
    found = await Store(engine, again.flushed).page("q", [], None, 10)
    assert sorted(made.rev for made in found) == [2, 3, 4]
    assert await count(engine, "daybook") == 0


async def test_a_hub_that_can_not_post_what_another_left_goes_on_where_it_stopped(
    engine: AsyncEngine, writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await writer.commit(commit(jobs=[row(spread(number))]))
    async with engine.begin() as connection:
        await connection.execute(delete(tables.daybook).where(tables.daybook.c.number < 3))

    def full(self: WriteBuffer) -> list[Puts]:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(WriteBuffer, "all", full)
        again = await open_writer(engine)
        await again.commit(commit(jobs=[row(spread(9))]))
        with pytest.raises(Unavailable, match="the disk is full"):
            await again.flushed()
    assert await count(engine, "daybook") == 4
    found = await Store(engine, again.flushed).page("q", [], None, 10)
    assert [made.number for made in found] == [9, 4, 3, 2]


async def test_the_write_buffer_of_a_newer_hub_is_left_alone(engine: AsyncEngine, writer: BufferedWriter) -> None:
    entry = msgspec.msgpack.decode(encode_entry(commit(jobs=[row(job(1))]).puts))
    entry[0] = version() + 1
    async with engine.begin() as connection:
        await connection.execute(tables.daybook.insert().values(number=1, body=msgspec.msgpack.encode(entry)))
    with pytest.raises(Unavailable, match="newer hub"):
        await open_writer(engine)
    assert await count(engine, "daybook") == 1


async def test_what_removes_something_finds_all_that_came_before(engine: AsyncEngine, writer: BufferedWriter) -> None:
    kept, gone = spread(1), spread(2)
    await writer.commit(commit(jobs=[row(kept), row(gone)], log_chunks=[lines(1, 0, "x")]))
    await writer.commit(commit(forget=[("q", gone.id)], trim=[("q", kept.id, 1)], webhooks=[webhook("w")]))
    store = Store(engine, writer.flushed)
    assert await store.jobs("q", [kept.id, gone.id]) == [kept]
    assert await store.lines("q", kept.id, 0, 9) == []


async def test_every_entry_leaves_the_write_buffer_after_a_round_of_its_partitions(
    engine: AsyncEngine, writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_writer, "LATER", 0)
    monkeypatch.setattr(buffered_writer, "BATCH_ROWS", 1)
    monkeypatch.setattr(buffered_writer, "BACKLOG_ROWS", 1)
    for number in range(4 * PARTITIONS):
        await writer.commit(commit(jobs=[row(spread(number))]))
        assert await count(engine, "daybook") <= PARTITIONS + PARTITIONS // 4
    assert await count(engine, "jobs") > 2 * PARTITIONS
    await writer.flushed()
    assert await count(engine, "jobs") == 4 * PARTITIONS


async def test_what_is_large_goes_to_its_place_at_once(
    engine: AsyncEngine, writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await writer.commit(commit(jobs=[row(job(1))], log_chunks=[chunk(1, 0, ["x" * 40_000])]))
    assert await count(engine, "jobs") == 1
    monkeypatch.setattr(buffered_writer, "ENTRY_BYTES", 1000)
    await writer.commit(commit(jobs=[row(job(n)) for n in range(2, 12)]))
    assert await count(engine, "jobs") == 11
    monkeypatch.setattr(buffered_writer, "ENTRY_BYTES", 10**6)
    monkeypatch.setattr(buffered_writer, "BYTES", 1000)
    for number in range(12, 40):
        await writer.commit(commit(jobs=[row(job(number))]))
        assert await count(engine, "daybook") < 12
    assert await count(engine, "daybook") > 0


async def test_the_rest_is_flushed_when_no_more_commits_come(
    engine: AsyncEngine, writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_writer, "QUIET", 0.01)
    flushing = asyncio.ensure_future(writer.keep_flushing())
    await writer.commit(commit(jobs=[row(job(1))]))
    async with asyncio.timeout(PATIENCE):
        while await count(engine, "daybook"):
            await asyncio.sleep(0)
    assert await count(engine, "jobs") == 1
    flushing.cancel()


async def test_commits_continue_between_the_partitions_of_the_rest(
    engine: AsyncEngine, writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_writer, "QUIET", 0.01)
    flushing = asyncio.ensure_future(writer.keep_flushing())
    made = 0
    for _ in range(40):
        # Old rows beside new ones, while partitions of both are flushed.
        await writer.commit(commit(jobs=[row(job(made)), row(job(made + 1)), row(job(made // 2))]))
        made += 2
        await asyncio.sleep(0.002)
    async with asyncio.timeout(PATIENCE):
        while await count(engine, "daybook"):
            await asyncio.sleep(0)
    assert await count(engine, "jobs") == made
    flushing.cancel()


@asynccontextmanager
async def refusing(engine: AsyncEngine, table: str) -> AsyncIterator[None]:
    """A database in which nothing can be put into a table."""
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            f"CREATE TRIGGER refusing BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
        )
    yield
    async with engine.begin() as connection:
        await connection.exec_driver_sql("DROP TRIGGER refusing")


async def test_a_failed_commit_is_not_in_the_write_buffer_and_the_next_one_is(
    engine: AsyncEngine, writer: BufferedWriter
) -> None:
    async with refusing(engine, "daybook"):
        with pytest.raises(Unwritable, match="the disk is gone"):
            await writer.commit(commit(jobs=[row(job(1))]))
    assert await count(engine, "daybook") == 0
    await writer.commit(commit(jobs=[row(job(2))]))
    found = await Store(engine, writer.flushed).page("q", [], None, 9)
    assert [made.number for made in found] == [2]


async def test_rows_that_cannot_be_flushed_stay_buffered_and_are_flushed_with_the_next_ones(
    engine: AsyncEngine, writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_writer, "LATER", -1)
    monkeypatch.setattr(buffered_writer, "BATCH_ROWS", 1)
    async with refusing(engine, "jobs"):
        await writer.commit(commit(jobs=[row(near(1))], definitions=[(near(1).id, b"d")]))
        await settled(writer)
        # Rows that are flushed together are all in their tables, or none is.
        assert [await count(engine, table) for table in ("daybook", "definitions", "jobs")] == [1, 0, 0]
    await writer.commit(commit(jobs=[row(near(2))]))
    await settled(writer)
    assert [await count(engine, table) for table in ("daybook", "definitions", "jobs")] == [1, 1, 1]
    await writer.flushed()
    assert [await count(engine, table) for table in ("daybook", "definitions", "jobs")] == [0, 1, 2]


numbers = st.integers(0, 5)
jobs_ = st.lists(st.tuples(numbers, st.integers(0, 99)), max_size=4)
removals = st.lists(numbers, max_size=2)


def anywhere(number: int, **more: Any) -> Job:
    """Some have a partition of their own, and some share one."""
    return near(number, **more) if number % 2 else spread(number, **more)


def chunk_of(one: Job) -> LogChunk:
    return chunk(one.number, one.rev % 2, [str(one.rev)])._replace(job=one.id)


def _commit(changed: list[tuple[int, int]], forgotten: list[int]) -> Commit:
    made = {number: anywhere(number, rev=rev) for number, rev in changed}
    return commit(
        forget=[("q", anywhere(number).id) for number in forgotten],
        jobs=[row(one) for one in made.values()],
        definitions=[(one.id, bytes([one.rev])) for one in made.values()],
        definition_blobs=[(one.id, str(one.rev % 3)) for one in made.values()],
        results=[("q", one.id, bytes([one.rev])) for one in made.values() if one.rev % 2],
        result_blobs=[("q", one.id, str(one.rev % 5)) for one in made.values() if one.rev % 2],
        log_chunks=[chunk_of(one) for one in made.values()],
        aliases=[(str(one.rev), one.id) for one in made.values()],
    )


steps = st.tuples(jobs_, st.one_of(st.just([]), st.just([]), removals), st.integers(0, 4), st.booleans(), st.booleans())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=12), st.integers(1, 6))
def test_in_the_end_the_tables_are_as_without_a_write_buffer(
    tmp_path_factory: pytest.TempPathFactory,
    history: list[tuple[list[tuple[int, int]], list[int], int, bool, bool]],
    batch: int,
) -> None:
    """For any commits, any size of a flush, and any point where a flush fails or the hub is killed."""

    async def play() -> None:
        folder = tmp_path_factory.mktemp("books")
        plain, flushed = (make_engine(f"sqlite:///{folder / name}") for name in ("plain", "flushed"))
        for engine in (plain, flushed):
            async with engine.begin() as connection:
                await connection.run_sync(tables.metadata.create_all)
        straight, writer = DirectWriter(plain), await open_writer(flushed)
        assert isinstance(writer, BufferedWriter)
        for changed, forgotten, pieces, fails, killed in history:
            await straight.commit(_commit(changed, forgotten))
            with full_disk(fails):
                done = await could(writer.commit(_commit(changed, forgotten)))
            if not done:
                await writer.commit(_commit(changed, forgotten))
            for _ in range(pieces):
                with full_disk(fails):
                    done = await writer.flush_batch()
                assert done is not fails
            if killed:
                writer = await open_writer(flushed)
                assert isinstance(writer, BufferedWriter)
        await writer.close()
        assert await everything(flushed) == await everything(plain)
        assert await count(flushed, "daybook") == 0
        await plain.dispose()
        await flushed.dispose()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(buffered_writer, "LATER", 300)
        patched.setattr(buffered_writer, "BATCH_ROWS", batch)
        patched.setattr(buffered_writer, "BACKLOG_ROWS", 2 * batch)
        asyncio.run(play())


async def could(work: Awaitable[None]) -> bool:
    """Whether the database took it."""
    try:
        await work
    except Unavailable:
        return False
    return True


@contextmanager
def full_disk(full: bool) -> Iterator[None]:
    """A flush that runs meanwhile fails when its rows are already written."""
    with pytest.MonkeyPatch.context() as patched:
        if full:

            def broken(_self: WriteBuffer) -> int:
                raise OSError("the disk is full")

            patched.setattr(WriteBuffer, "newest_obsolete", broken)
        yield


async def test_small_commits_flush_batches_and_a_large_one_flushes_to_the_end_of_a_partition(
    engine: AsyncEngine, writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_writer, "BATCH_ROWS", 8)
    monkeypatch.setattr(buffered_writer, "BACKLOG_ROWS", 16)
    await writer.commit(commit(jobs=[row(near(number)) for number in range(50)]))
    monkeypatch.setattr(buffered_writer, "LATER", 0)
    flushed = []
    for number in range(24):
        await writer.commit(commit(jobs=[row(near(100 + number, "ff"))]))
        await settled(writer)
        flushed.append(await count(engine, "jobs"))
    assert flushed == [0] * 7 + [8] * 8 + [16] * 8 + [24]
    await writer.commit(commit(jobs=[row(near(200 + number, "ff")) for number in range(16)]))
    await settled(writer)
    assert await count(engine, "jobs") == 50


async def test_what_was_written_beside_a_checkpoint_is_copied_as_well_and_the_log_begins_anew(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal_preallocation, "ROOM", 0)
    writer = await open_writer(engine)
    assert isinstance(writer, BufferedWriter)
    monkeypatch.setattr(checkpoints, "SQLITE_CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(buffered_writer, "QUIET", 3600.0)  # on a slow machine the commits take longer than a second
    flushing = asyncio.ensure_future(writer.keep_flushing())
    sizes = []
    for number in range(400):
        await writer.commit(commit(jobs=[row(job(number))]))
        sizes.append((tmp_path / "hub.sqlite-wal").stat().st_size)
    flushing.cancel()
    assert sizes[-1] < 400 * 4096, "each commit writes a page at least"
    assert await count(engine, "daybook") == 400
