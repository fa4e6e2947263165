"""Reading what is stored: in pages, in order, and the same on SQLite and on Postgres."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asman_server.storage.commit import CommitWriter
from asman_server.storage.reader import ChunkHead, Store, pack_definition
from asman_shared import limits
from asman_shared.definition import DataRef, Definition
from asman_shared.errors import Misconfigured
from asman_shared.messages import OutputFile, Result, Verdict
from asman_shared.states import Phase, Reason, State
from tests.support.rows import chunk, commit, job, job_id, row, webhook


async def test_every_table_is_read_back_as_it_was_written(writer: CommitWriter, store: Store) -> None:
    verdict = Verdict(ok=True, reason=Reason.SUCCESS, exit_code=0, outputs=1, lines=3)
    made = job(1, State.FINISHED, finished=2**45, attempt=3, verdict=verdict)
    definition = Definition(image="a", command=["echo", "ü\n☃"], env={"A": ""})
    file = OutputFile(ref=DataRef("0" * 64, "key"), size=1, sha256="0" * 64)
    result = Result(worker="w", skipped={"x": "too big"}, phases={Phase.RUNNING: 7}, outputs={"o/ü": file})
    await writer.commit(
        commit(
            definitions=[(made.id, pack_definition(definition))],
            jobs=[row(made)],
            results=[("q", made.id, msgspec.msgpack.encode(result))],
            log_chunks=[chunk(1, 0, ["one", "two\r", "three ☃"])],
            webhooks=[webhook("w1")],
        )
    )
    assert await store.jobs("q", [made.id]) == [made]
    assert await store.definition(made.id) == definition
    assert await store.definitions([made.id, job_id(2)]) == {made.id: definition}
    assert await store.result("q", made.id) == result
    assert [line.text for line in await store.lines("q", made.id, 0, 10)] == ["one", "two\r", "three ☃"]
    assert await store.webhooks(10, [], []) == [webhook("w1")]
    assert await store.jobs("other", [made.id]) == []
    assert await store.result("other", made.id) is None
    assert await store.lines("other", made.id, 0, 10) == []


async def test_a_row_that_cant_be_read_is_told_in_a_sentence(writer: CommitWriter, store: Store) -> None:
    one, two = job(1), job(2)
    await writer.commit(
        commit(
            definitions=[(one.id, b"\xc1"), (two.id, pack_definition(Definition(image="a")))],
            jobs=[row(one)],
            results=[("q", one.id, msgspec.msgpack.encode({"outputs": 7}))],
        )
    )
    for reading in (store.result("q", one.id), store.definition(one.id), store.definitions([one.id, two.id])):
        with pytest.raises(Misconfigured, match=r"can't read what it has stored.*run the job again"):
            await reading
    assert await store.definition(two.id) == Definition(image="a")


async def test_pages_go_from_the_newest_to_the_oldest_without_gaps(writer: CommitWriter, store: Store) -> None:
    states = [State.QUEUED, State.RUNNING, State.FINISHED]
    await writer.commit(commit(jobs=[row(job(n, states[n % 3])) for n in range(1, 101)]))
    await writer.commit(commit(jobs=[row(job(n), "other") for n in range(1, 20)]))
    seen: list[int] = []
    before = None
    while page := await store.page("q", [], before, 7):
        seen += [j.number for j in page]
        before = page[-1].number
    assert seen == list(range(100, 0, -1))
    running = await store.page("q", [State.RUNNING], 50, 3)
    assert [j.number for j in running] == [49, 46, 43]
    both = await store.page("q", [State.RUNNING, State.FINISHED], None, 200)
    assert {j.state for j in both} == {State.RUNNING, State.FINISHED}


async def test_log_chunks_come_in_order_whatever_the_order_of_writing(writer: CommitWriter, store: Store) -> None:
    for first in (20, 0, 10):
        await writer.commit(commit(log_chunks=[chunk(1, first, [str(first + n) for n in range(10)])]))
    assert [line.seq for line in await store.lines("q", job_id(1), 0, 100)] == list(range(30))
    assert [line.seq for line in await store.lines("q", job_id(1), 15, 8)] == list(range(15, 23))
    assert await store.chunk_heads("q", job_id(1)) == [
        ChunkHead(0, 9, 10),
        *(ChunkHead(n, n + 9, 20) for n in (10, 20)),
    ]
    await writer.commit(commit(drop_chunks=[("q", job_id(1), 10)]))
    assert [line.seq for line in await store.lines("q", job_id(1), 5, 9)] == [5, 6, 7, 8, 9, 20, 21, 22, 23]


async def test_pages_of_a_log_go_forwards_and_backwards_over_chunks_of_any_size(
    writer: CommitWriter, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [1] * 150 + [40] + [1] * 20 + [7] * 10
    first, chunks = 0, []
    for size in sizes:
        chunks.append(chunk(1, first, [str(first + n) for n in range(size)]))
        first += size + 3
    await writer.commit(commit(log_chunks=[*chunks, chunk(2, 0, ["another job's"])]))
    kept = [each.first + n for each, size in zip(chunks, sizes, strict=True) for n in range(size)]
    for since in (0, 1, 2, 3, 599, kept[150], kept[160], kept[-1], kept[-1] + 1):
        wanted = [seq for seq in kept if seq >= since]
        for limit in (1, 5, 200, 1000):
            assert [line.seq for line in await store.lines("q", job_id(1), since, limit)] == wanted[:limit]
    for until in (0, 1, 4, kept[160], kept[-1], kept[-1] + 1, 10_000):
        before: list[int] = []
        at = until
        while page := await store.lines_before("q", job_id(1), at, 11):
            assert len(page) <= 11
            before = [line.seq for line in page] + before
            at = page[0].seq
        assert before == [seq for seq in kept if seq < until]
    monkeypatch.setattr(limits, "LOG_PAGE_BYTES", 35 * 20)
    assert 20 <= len(await store.lines("q", job_id(1), 0, 1000)) <= 22
    assert len(await store.lines_before("q", job_id(1), 10_000, 1000)) == 14


async def test_unfinished_is_all_that_a_queue_takes_up_again(writer: CommitWriter, store: Store) -> None:
    await writer.commit(
        commit(
            jobs=[
                row(job(4, State.QUEUED)),
                row(job(2, State.RUNNING, attempt=1, log_next=99)),
                row(job(3, State.RUNNING, attempt=2)),
                row(job(1, State.FINISHED, attempt=1)),
                row(job(9, State.FINISHED, attempt=1)),
            ],
            log_chunks=[chunk(2, 0, ["a", "b"]), chunk(2, 2, ["c"]), chunk(1, 0, ["z"] * 9)],
        )
    )
    await writer.commit(commit(jobs=[row(job(50), "other")]))
    found = await store.unfinished("q")
    assert [j.number for j in found.jobs] == [2, 3, 4], "in the order of queueing"
    assert [j.log_next for j in found.jobs] == [3, 0, 0], "a log continues after its stored lines"
    assert (found.finished, found.number) == (2, 9)
    nothing = await store.unfinished("unknown")
    assert (nothing.jobs, nothing.finished, nothing.number) == ([], 0, 0)


async def test_many_unfinished_jobs_are_all_found(writer: CommitWriter, store: Store) -> None:
    count = 2 * 500 + 3
    await writer.commit(
        commit(
            jobs=[row(job(n, State.RUNNING, attempt=1)) for n in range(count)],
            log_chunks=[chunk(n, 0, ["x"]) for n in range(count)],
        )
    )
    found = await store.unfinished("q")
    assert len(found.jobs) == count
    assert {j.log_next for j in found.jobs} == {1}
    assert len(await store.jobs("q", [job_id(n) for n in range(count)])) == count


async def test_queues_at_work_are_those_with_running_jobs(writer: CommitWriter, store: Store) -> None:
    assert await store.queues_at_work() == []
    for queue, state in (("a", State.RUNNING), ("b", State.QUEUED), ("c", State.FINISHED), ("d", State.RUNNING)):
        await writer.commit(commit(jobs=[row(job(n, state), queue) for n in (1, 2)]))
    assert sorted(await store.queues_at_work()) == ["a", "d"]


async def test_anywhere_prefers_the_result_that_came_first(writer: CommitWriter, store: Store) -> None:
    assert await store.anywhere(job_id(1)) is None
    for queue, state, finished in (
        ("running", State.RUNNING, 0),
        ("older", State.FINISHED, 10),
        ("newer", State.FINISHED, 20),
        ("queued", State.QUEUED, 0),
    ):
        await writer.commit(commit(jobs=[row(job(1, state, finished=finished), queue)]))
    found = await store.anywhere(job_id(1))
    assert found is not None
    assert found[0] == "older"


async def test_the_queue_whose_result_was_accepted_first_keeps_its_place_until_it_deletes_the_job(
    writer: CommitWriter, store: Store
) -> None:
    result = msgspec.msgpack.encode(Result())

    async def put(queue: str, state: State, finished: int = 0, results: tuple[Any, ...] = ()) -> str:
        made = row(job(1, state, finished=finished), queue)
        await writer.commit(commit(jobs=[made], results=[(queue, job_id(1), result) for _ in results]))
        return await place()

    async def place() -> str:
        found = await store.anywhere(job_id(1))
        return found[0] if found is not None else ""

    assert await put("stranger", State.RUNNING) == "stranger"
    assert await put("first", State.FINISHED, 10, ("a",)) == "first"
    assert await put("stranger", State.FINISHED, 20, ("a",)) == "first"
    assert await put("first", State.RUNNING) == "first", "while it runs again"
    assert await put("first", State.FINISHED, 30, ("b",)) == "first", "after it has run again"
    assert await put("stranger", State.FINISHED, 40, ("b",)) == "first"
    await writer.commit(commit(forget=[("first", job_id(1))]))
    assert await place() == "stranger", "who deletes the job gives up the place"
    assert await put("first", State.FINISHED, 50, ("c",)) == "stranger"


async def test_webhooks_are_read_by_when_they_are_due(writer: CommitWriter, store: Store) -> None:
    await writer.commit(
        commit(webhooks=[webhook("c", 30), webhook("a", 10), webhook("b", 20, "slow:443"), webhook("d", 40)])
    )
    assert [w.id for w in await store.webhooks(3, [], [])] == ["a", "b", "c"]
    assert [w.id for w in await store.webhooks(9, ["a"], ["slow:443"])] == ["c", "d"]
    await writer.commit(commit(webhooks_later=[("a", 4, 35)], webhooks_done=["c"]))
    left = await store.webhooks(9, [], [])
    assert [(w.id, w.tries) for w in left] == [("b", 0), ("a", 4), ("d", 0)]
    await writer.commit(commit(webhooks_done=["a"], webhooks_later=[("a", 5, 1)]))
    assert [w.id for w in await store.webhooks(9, [], [])] == ["b", "d"], "a late retry brings nothing back"
