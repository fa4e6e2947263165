"""Writing commits: each as a whole, as often as it has to be, and the same on SQLite and on Postgres."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.storage.blob_changes import OpenUpload, UploadRow
from asman_server.storage.commit import Commit, CommitWriter, KeyRow, LogChunk, QueueRow, Unwritable, WebhookRow
from asman_server.storage.reader import Store, pack_definition, pack_lines
from asman_server.storage.row_kinds import AS_SENT, FIRST_RESULTS, NOTES, RESULT_BLOBS, SIGNATURES
from asman_server.storage.tables import metadata, uploads
from asman_shared.definition import Definition
from asman_shared.messages import LogLine, Result
from asman_shared.states import State
from tests.support.rows import chunk, commit, job, job_id, row, webhook


async def test_the_newest_row_replaces_the_older(writer: CommitWriter, store: Store) -> None:
    for rev, state in enumerate((State.QUEUED, State.RUNNING, State.FINISHED)):
        await writer.commit(
            commit(
                jobs=[row(job(1, state, rev=rev))],
                results=[("q", job_id(1), msgspec.msgpack.encode(Result(worker=str(rev))))],
                definitions=[(job_id(1), pack_definition(Definition(image=str(rev))))],
                log_chunks=[chunk(1, 0, [str(rev)])],
            )
        )
    (stored,) = await store.jobs("q", [job_id(1)])
    assert (stored.rev, stored.state) == (2, State.FINISHED)
    result = await store.result("q", job_id(1))
    assert result is not None
    assert result.worker == "2"
    assert [line.text for line in await store.lines("q", job_id(1), 0, 9)] == ["2"]
    assert await store.definition(job_id(1)) == Definition(image="0"), (
        "a definition is what its id says: never replaced"
    )
    assert (await store.unfinished("q")).finished == 1


async def test_a_commit_that_is_repeated_changes_nothing(writer: CommitWriter, store: Store) -> None:
    """After a connection that broke on the way back, the group commit writes the same again."""
    again = commit(
        jobs=[row(job(1))],
        definitions=[(job_id(1), b"\xc0")],
        results=[("q", job_id(1), msgspec.msgpack.encode(Result()))],
        log_chunks=[chunk(1, 0, ["x"])],
        webhooks=[webhook("w")],
        webhooks_later=[("w", 1, 50)],
        webhooks_done=["gone"],
        forget=[("q", job_id(2))],
    )
    for _ in range(3):
        await writer.commit(again)
    assert len(await store.page("q", [], None, 10)) == 1
    assert len(await store.lines("q", job_id(1), 0, 10)) == 1
    (waiting,) = await store.webhooks(10, [], [])
    assert (waiting.tries, waiting.due) == (1, 50)


async def test_what_is_forgotten_may_be_made_anew_in_the_same_commit(writer: CommitWriter, store: Store) -> None:
    await writer.commit(
        commit(
            jobs=[row(job(1, State.FINISHED, attempt=5))],
            results=[("q", job_id(1), msgspec.msgpack.encode(Result()))],
            log_chunks=[chunk(1, 0, ["old"] * 5)],
        )
    )
    await writer.commit(
        commit(
            forget=[("q", job_id(1))],
            jobs=[row(job(1, State.QUEUED, rev=1))],
            log_chunks=[chunk(1, 2, ["new"])],
        )
    )
    (stored,) = await store.jobs("q", [job_id(1)])
    assert (stored.state, stored.attempt) == (State.QUEUED, 0)
    assert await store.result("q", job_id(1)) is None
    assert [(line.seq, line.text) for line in await store.lines("q", job_id(1), 0, 10)] == [(2, "new")]


async def test_forgetting_and_trimming_touch_no_neighbours(writer: CommitWriter, store: Store) -> None:
    for queue in ("q", "r"):
        await writer.commit(
            commit(
                jobs=[row(job(n), queue) for n in (1, 2, 3)],
                results=[(queue, job_id(n), msgspec.msgpack.encode(Result())) for n in (1, 2, 3)],
                log_chunks=[chunk(n, first, ["x"], queue) for n in (1, 2, 3) for first in (0, 1, 2)],
            )
        )
    await writer.commit(
        commit(forget=[("q", job_id(1))], trim=[("q", job_id(2), 2)], drop_chunks=[("q", job_id(3), 1)])
    )
    assert [j.number for j in await store.page("q", [], None, 9)] == [3, 2]
    assert [len(await store.lines("q", job_id(n), 0, 9)) for n in (1, 2, 3)] == [0, 1, 2]
    assert [await store.result("q", job_id(n)) is not None for n in (1, 2, 3)] == [False, True, True]
    assert [len(await store.lines("r", job_id(n), 0, 9)) for n in (1, 2, 3)] == [3, 3, 3]
    assert [j.number for j in await store.page("r", [], None, 9)] == [3, 2, 1]


async def test_numbers_as_large_as_the_wire_allows_are_stored(writer: CommitWriter, store: Store) -> None:
    largest = 2**53 - 1
    await writer.commit(
        commit(
            jobs=[row(job(largest, State.FINISHED, finished=largest))],
            log_chunks=[LogChunk("q", job_id(1), largest, largest, 1, pack_lines([LogLine(largest, largest, 0, "x")]))],
        )
    )
    assert (await store.unfinished("q")).number == largest
    assert [line.seq for line in await store.lines("q", job_id(1), largest, 1)] == [largest]


async def test_an_alias_is_written_once_and_never_changes_its_meaning(writer: CommitWriter, store: Store) -> None:
    assert await store.unaliased("other") is None
    await writer.commit(commit(aliases=[("other", "own")]))
    await writer.commit(commit(aliases=[("other", "stranger"), ("more", "own")]))
    assert [await store.unaliased(name) for name in ("other", "more", "own")] == ["own", "own", None]


async def test_a_commit_is_written_whole_or_not_at_all(engine: AsyncEngine, writer: CommitWriter, store: Store) -> None:
    broken: Any = WebhookRow("w", "q", None, "h", "u", b"", 0, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(Unwritable):
        await writer.commit(commit(jobs=[row(job(1))], definitions=[(job_id(1), b"x")], webhooks=[broken]))
    assert await store.jobs("q", [job_id(1)]) == []
    await writer.commit(commit(jobs=[row(job(2))]))
    assert len(await store.jobs("q", [job_id(2)])) == 1


def everything(queue: str) -> Commit:
    """Rows in all tables that name a queue, but those of uploads."""
    key = (queue, job_id(1))
    rows = {kind: {key: (*key, b"x")} for kind in (SIGNATURES, NOTES, AS_SENT)}
    made = commit(
        jobs=[row(job(1, State.FINISHED), queue)],
        results=[(*key, msgspec.msgpack.encode(Result()))],
        log_chunks=[chunk(1, 0, ["x"])._replace(queue=queue)],
        webhooks=[structs.replace(webhook(f"w-{queue}"), queue=queue)],
        queues=[QueueRow(queue, 5, 6, 7)],
        keys=[KeyRow(f"h-{queue}", queue, "read", 1)],
        blobs=[OpenUpload(UploadRow(queue, "a" * 64, 5, f"place-{queue}", "", 50, 50))],
    )
    made.puts.update(rows)
    made.puts[RESULT_BLOBS] = {key: [(*key, "b" * 64)]}
    made.puts[FIRST_RESULTS] = {key: (*key, 9)}
    return made


async def counted(engine: AsyncEngine, queue: str) -> dict[str, int]:
    found = {}
    async with engine.connect() as connection:
        for table in metadata.sorted_tables:
            if "queue" in table.c:
                query = select(func.count()).select_from(table).where(table.c.queue == queue)
                found[table.name] = int((await connection.execute(query)).scalar_one())
    return found


async def test_a_queue_is_erased_from_every_table_and_its_neighbour_from_none(
    writer: CommitWriter, engine: AsyncEngine
) -> None:
    for queue in ("gone", "stays"):
        await writer.commit(everything(queue))
    whole = await counted(engine, "stays")
    assert set(whole.values()) == {1}, whole
    assert await counted(engine, "gone") == whole
    for _ in range(2):  # a commit whose outcome is unknown is written again
        await writer.commit(commit(erase=["gone"]))
        assert await counted(engine, "gone") == {**dict.fromkeys(whole, 0), "uploads": 1}
        assert await counted(engine, "stays") == whole
    async with engine.connect() as connection:
        rows = (await connection.execute(select(uploads.c.queue, uploads.c.touched))).all()
    touched = {row.queue: row.touched for row in rows}
    assert touched["gone"] == 0, "only its row tells what of an upload is in the store, so the collection ends it"
    assert touched["stays"] > 0


async def test_a_queue_whose_erasure_fails_half_way_is_whole(writer: CommitWriter, engine: AsyncEngine) -> None:
    await writer.commit(everything("q"))
    whole = await counted(engine, "q")
    broken = commit(erase=["q"], webhooks=[structs.replace(webhook("w"), url="http://\0", tries=2**70)])
    with pytest.raises(Exception, match=r".+"):
        await writer.commit(broken)
    assert await counted(engine, "q") == whole
