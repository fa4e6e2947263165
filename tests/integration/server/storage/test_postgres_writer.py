"""The committing connection to Postgres: one round trip a commit, thrown away at the first doubt, no wrong word."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.storage import blob_changes as bc
from asman_server.storage.commit import Commit, KeyRow, OutcomeUnknown, QueueRow, Unwritable
from asman_server.storage.database import make_engine, make_primary, migrate, primary_of
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.postgres import writer as writing
from asman_server.storage.postgres.writer import PostgresWriter
from asman_server.storage.tables import metadata
from asman_shared.errors import Unavailable
from asman_shared.states import State
from devtools.patience import PATIENCE
from devtools.postgres import PostgresServer, programs
from tests.support.direct_writer import DirectWriter
from tests.support.rows import Ask, Followers, chunk, commit, job, job_id, row, webhook
from tests.support.silent_proxy import SilentProxy


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
async def opened(database: str) -> AsyncIterator[tuple[AsyncEngine, PostgresWriter]]:
    engine = make_engine(database)
    await migrate(engine)
    yield engine, PostgresWriter(engine, primary_of(engine))
    await engine.dispose()


@pytest.fixture
async def writer(opened: tuple[AsyncEngine, PostgresWriter]) -> PostgresWriter:
    return opened[1]


def pid_of(writer: PostgresWriter) -> int:
    """The server's process for the committing connection."""
    return int(writer._connection.get_server_pid())


async def ask(database: str, statement: str, *parameters: Any) -> Any:
    """What the database answers to one statement."""
    connection = await asyncpg.connect(database)
    try:
        return await connection.fetchval(statement, *parameters)
    finally:
        await connection.close()


async def there(database: str) -> list[str]:
    """Ids of all stored jobs."""
    return sorted(await ask(database, "SELECT array_agg(id ORDER BY id) FROM jobs") or [])


def everything() -> Iterator[Commit]:
    """Commits that touch each table, some of them the same rows twice."""
    blob = bc.BlobRow("b" * 64, 5, "p", 1, 1)
    yield commit(
        jobs=[row(job(n)) for n in (1, 2, 3)],
        definitions=[(job_id(n), b"d%d" % n) for n in (1, 2, 3)],
        definition_blobs=[(job_id(1), "b" * 64)],
        signatures=[("q", job_id(1), b"s")],
        aliases=[("other", job_id(1))],
        log_chunks=[chunk(1, first, ["x"]) for first in (0, 1, 2)],
        webhooks=[webhook("w"), webhook("v"), webhook("u")],
        keys=[KeyRow("h", "q", "name", 1), KeyRow("h", "q", "name", 2), KeyRow("i", "r", "read", 1)],
        blobs=[bc.StoreBlob(blob), bc.UseBlob("b" * 64, 7)],
    )
    finished = [row(job(n, State.FINISHED, finished=9)) for n in (1, 2)]
    yield commit(
        jobs=finished,
        results=[("q", job_id(n), b"r") for n in (1, 2)],
        result_blobs=[("q", job_id(1), each * 64) for each in "abc"],
        webhooks=[webhook("new"), webhook("w")],
        webhooks_later=[("new", 2, 30), ("v", 1, 20)],
        webhooks_done=["u", "gone"],
        log_chunks=[chunk(1, first, ["y"]) for first in (2, 3, 4)],
        drop_chunks=[("q", job_id(1), 0), ("q", job_id(1), 4), ("q", job_id(1), 4)],
    )
    yield commit(
        jobs=[row(job(1, State.FINISHED, finished=11))],
        results=[("q", job_id(n), b"newer") for n in (1, 2)],
        result_blobs=[("q", job_id(1), each * 64) for each in "cd"],
        door_notes=[("q", job_id(1), b"n")],
        as_sent=[("q", job_id(2), b"a")],
    )
    yield commit(forget=[("q", job_id(2))], jobs=[row(job(2, attempt=3))], trim=[("q", job_id(1), 2**40)])
    yield commit(queues=[QueueRow("q", 5, 6, 100)], log_chunks=[chunk(3, 0, ["z"])], forget_keys=[("r", 50)])
    yield commit(forget_queues=["q"], queues=[QueueRow("r", 1, 2, 3)])
    yield commit(
        results=[("q", job_id(n), b"last") for n in (1, 3)], result_blobs=[("q", job_id(3), each * 64) for each in "ef"]
    )


async def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a new database after `everything`, each commit written twice as after an unknown outcome."""
    engine = make_engine(url)
    await migrate(engine)
    writer = DirectWriter(engine)
    for each in everything():
        await writer.commit(each)
        await writer.commit(each)
    async with engine.connect() as connection:
        found = {
            table.name: sorted(map(tuple, await connection.execute(select(table)))) for table in metadata.sorted_tables
        }
    await engine.dispose()
    return found


async def test_the_same_commits_leave_the_same_rows_in_both_databases(database: str, tmp_path: Any) -> None:
    expected = await contents(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    assert expected == await contents(database)
    written = {name for name, rows in expected.items() if rows}
    assert {"jobs", "results", "result_blobs", "log_chunks", "webhooks", "queue_keys", "blobs", "door_notes"} <= written


async def test_a_commit_of_puts_is_one_statement_that_is_prepared_once(database: str, writer: PostgresWriter) -> None:
    await writer.commit(commit(jobs=[row(job(1))]))
    said: list[str] = []
    writer._connection.add_query_logger(lambda record: said.append(record.query))
    for n in (2, 3):
        await writer.commit(commit(jobs=[row(job(n))]))
    while len(said) < 2:  # the driver tells it in the next turn of the loop
        await asyncio.sleep(0)
    assert len(set(said)) == 1
    assert await there(database) == [job_id(n) for n in (1, 2, 3)]


async def test_a_refused_value_costs_neither_the_connection_nor_another_row(
    database: str, writer: PostgresWriter
) -> None:
    await writer.commit(commit(jobs=[row(job(1))]))
    pid = pid_of(writer)
    for broken in (row(job(2), "a\0b"), row(job(2), "q" * 129), row(job(2))._replace(number=2**63)):
        with pytest.raises(Unwritable):
            await writer.commit(commit(jobs=[row(job(3)), broken]))
    await writer.commit(commit(jobs=[row(job(4))]))
    assert (pid_of(writer), await there(database)) == (pid, [job_id(1), job_id(4)])


@pytest.mark.parametrize(
    "error", [asyncpg.InternalClientError("cannot switch to state 12"), RuntimeError("never seen"), OSError("gone")]
)
async def test_any_error_that_is_no_verdict_ends_the_connection_and_its_session(
    database: str, writer: PostgresWriter, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await writer.commit(commit(jobs=[row(job(1))]))
    pid, dead = pid_of(writer), writer._connection
    monkeypatch.setattr(type(dead), "fetchval", _raising(error))
    with pytest.raises(OutcomeUnknown):
        await writer.commit(commit(jobs=[row(job(2))]))
    monkeypatch.undo()
    assert dead.is_closed()
    await writer.commit(commit(jobs=[row(job(2))]))
    assert pid_of(writer) != pid
    assert await ask(database, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0


def _raising(error: Exception) -> Callable[..., Any]:
    async def raises(*_: object, **__: object) -> None:
        raise error

    return raises


async def test_no_statement_is_run_on_after_the_session_was_ended(database: str, writer: PostgresWriter) -> None:
    await writer.commit(commit(jobs=[row(job(1))]))
    pid = pid_of(writer)
    await ask(database, "SELECT pg_terminate_backend($1, 10000)", pid)
    removal = commit(forget=[("q", job_id(1))], jobs=[row(job(2))])
    for _ in range(2):  # the driver may have heard of it or not
        try:
            await writer.commit(removal)
        except Unavailable:
            continue
        break
    assert pid_of(writer) != pid
    assert await there(database) == [job_id(2)]


async def test_a_session_that_does_not_end_keeps_the_next_one_from_writing(
    database: str, writer: PostgresWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ending a session is not the end of it: one that can't run keeps its locks."""
    monkeypatch.setattr(writing, "END_SECONDS", 0.2)
    await writer.commit(commit(jobs=[row(job(1))]))
    pid = pid_of(writer)
    os.kill(pid, signal.SIGSTOP)
    try:
        writer._drop()
        with pytest.raises(Unavailable, match="does not end"):
            await writer.commit(commit(jobs=[row(job(2))]))
    finally:
        os.kill(pid, signal.SIGCONT)
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await writer.commit(commit(jobs=[row(job(2))]))
                break
            except Unavailable:
                continue
    assert await there(database) == [job_id(1), job_id(2)]


@asynccontextmanager
async def proxied(database: str) -> AsyncIterator[tuple[SilentProxy, PostgresWriter]]:
    url = make_url(database)
    assert url.port is not None
    async with SilentProxy(url.port) as proxy:
        engine = make_engine(url.set(port=proxy.port).render_as_string(hide_password=False))
        await migrate(engine)
        await engine.dispose()  # whose connection would wait for a polite end
        writer = PostgresWriter(engine, primary_of(engine))
        yield proxy, writer
        await writer.close()


@pytest.mark.parametrize("lost", ["question", "answer"])
@pytest.mark.parametrize("in_steps", [False, True])
async def test_a_connection_that_dies_silently_is_noticed_and_the_commit_is_written_again(
    database: str, monkeypatch: pytest.MonkeyPatch, lost: str, in_steps: bool
) -> None:
    monkeypatch.setattr(writing, "DOUBT_SECONDS", 0.2)
    monkeypatch.setattr(writing, "LOOK_SECONDS", 0.1)
    more = {"forget": [("q", job_id(1))]} if in_steps else {}
    async with proxied(database) as (proxy, writer):
        await writer.commit(commit(jobs=[row(job(1))]))
        pid = pid_of(writer)
        proxy.swallow(questions=lost == "question", answers=True)
        with pytest.raises(OutcomeUnknown):
            async with asyncio.timeout(PATIENCE):
                await writer.commit(commit(jobs=[row(job(2))], **more))
        written = lost == "answer" and not in_steps
        assert (job_id(2) in await there(database)) is written
        await writer.commit(commit(jobs=[row(job(2))], **more))
        assert await there(database) == [job_id(n) for n in ((2,) if in_steps else (1, 2))]
        assert await ask(database, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0


async def test_a_commit_that_waits_for_a_lock_is_left_alone(
    database: str, writer: PostgresWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "DOUBT_SECONDS", 0.05)
    monkeypatch.setattr(writing, "LOOK_SECONDS", 0.05)
    looks: list[str] = []
    await writer.commit(commit(jobs=[row(job(1))]))
    pid = pid_of(writer)
    other = await asyncpg.connect(database)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("UPDATE jobs SET number = 7")
    asked = type(other).fetchval

    async def counted(self: Any, query: str, *rest: Any, **more: Any) -> Any:
        answer = await asked(self, query, *rest, **more)
        if query == writing._DOING:
            looks.append(answer)
        return answer

    monkeypatch.setattr(type(other), "fetchval", counted)
    waiting = asyncio.ensure_future(writer.commit(commit(jobs=[row(job(1, attempt=2))])))
    async with asyncio.timeout(PATIENCE):
        while len(looks) < 5:
            await asyncio.sleep(0.02)
        await transaction.rollback()
        await waiting
    await other.close()
    assert set(looks) == {"active"}
    assert pid_of(writer) == pid


async def test_a_commit_that_counts_although_its_session_was_ended_is_not_told_as_failed() -> None:
    """A commit that waits for a standby counts when its session is ended, and the client hears of a lost connection."""
    found = programs()
    assert found is not None
    server = PostgresServer(found)
    try:
        await asyncio.to_thread(server.start)
        database = await asyncio.to_thread(server.new_database)
        engine = make_engine(database)
        await migrate(engine)
        writer = PostgresWriter(engine, primary_of(engine))
        committer, followers = GroupCommitter(writer), Followers()
        running = asyncio.ensure_future(committer.run())
        first, second = job(1), job(2)
        committer.changed(followers, first, first=True)
        await Ask(committer, first).get()
        await asyncio.to_thread(server.set, "synchronous_standby_names", "nobody")
        committer.changed(followers, second, first=True)
        asked = Ask(committer, second)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = $1"
        async with asyncio.timeout(PATIENCE):
            while not await ask(database, waits, pid_of(writer)):
                await asyncio.sleep(0.02)
        await asyncio.to_thread(server.set, "synchronous_standby_names", "")
        await ask(database, "SELECT pg_terminate_backend($1, 10000)", pid_of(writer))
        answer = await asked.get()
        assert await there(database) == [job_id(1), job_id(2)]
        if isinstance(answer, Exception):
            assert isinstance(answer, Unavailable)
            assert answer.retry
            assert "does not know yet" in answer.message
        async with asyncio.timeout(PATIENCE):
            while (second.id, 0) not in followers.told:
                await asyncio.sleep(0.02)
        committer.close()
        await running
        await writer.close()
        await engine.dispose()
    finally:
        await asyncio.to_thread(server.remove)


async def test_a_database_that_would_not_sync_commits_is_told_to(postgres: PostgresServer) -> None:
    database = await asyncio.to_thread(postgres.new_database)
    await ask(database, f"ALTER DATABASE {make_url(database).database} SET synchronous_commit = off")
    engine = make_engine(database)
    await migrate(engine)
    writer = PostgresWriter(engine, make_primary(database))
    await writer.commit(commit(jobs=[row(job(1))]))
    assert await writer._connection.fetchval("SHOW synchronous_commit") == "on"
    await engine.dispose()
