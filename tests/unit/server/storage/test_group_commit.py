"""The journal with a ledger that does as it is told: what is said when, and what survives a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from asman_server.core import Job
from asman_server.storage import group_commit as module
from asman_server.storage.blob_changes import DropBlob, UseBlob
from asman_server.storage.commit import Commit
from asman_server.storage.group_commit import Batch, Journal
from asman_server.storage.row_kinds import DEFINITION_BLOBS, DEFINITIONS, JOBS, LOG_CHUNKS, RESULT_BLOBS, RESULTS
from asman_shared.definition import DataRef
from asman_shared.errors import AsmanError, Unavailable
from asman_shared.messages import JobState, OutputFile, Result
from asman_shared.states import State
from tests.support.rows import PATIENCE, Ask, Followers, chunk, job, job_id, webhook


class ScriptedLedger:
    """Each commit waits until the test says how it goes."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Commit] = asyncio.Queue()
        self._ends: asyncio.Queue[str | None] = asyncio.Queue()
        self.written: list[Commit] = []

    async def commit(self, commit: Commit) -> None:
        self.begun.put_nowait(commit)
        error = await self._ends.get()
        if error is not None:
            raise Unavailable(error)
        self.written.append(commit)

    async def next(self) -> Commit:
        async with asyncio.timeout(PATIENCE):
            return await self.begun.get()

    def succeed(self) -> None:
        self._ends.put_nowait(None)

    def fail(self, why: str = "the disk is full") -> None:
        self._ends.put_nowait(why)


class Desk:
    """A running journal with what is around it."""

    def __init__(self) -> None:
        self.ledger = ScriptedLedger()
        self.journal = Journal(self.ledger)
        self.followers = Followers()

    def change(self, made: Job, *, first: bool = False) -> None:
        made.rev += 1
        self.journal.changed(self.followers, made, first=first)

    async def quiet(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.journal.busy:
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.0)


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    desk = Desk()
    running = asyncio.ensure_future(desk.journal.run())
    try:
        yield desk
    finally:
        running.cancel()
        await asyncio.wait([running])


def states(commit: Commit) -> dict[str, tuple[str, int]]:
    decoded = [(row, msgspec.msgpack.decode(row.record, type=Job)) for row in JOBS.rows(commit.puts)]
    return {row.id: (row.state, made.rev) for row, made in decoded}


async def test_nothing_is_said_before_its_commit_and_answers_come_before_changes() -> None:
    async with open_desk() as desk:
        told: list[str] = []
        made = job(1)
        desk.change(made, first=True)
        desk.journal.answer("q", made, lambda state: told.append(f"answer {state.rev}"), None)
        desk.followers.publish = lambda changes: told.extend(f"change {s.rev} {f}" for s, f in changes)  # type: ignore[method-assign]
        await desk.ledger.next()
        assert told == []
        assert desk.journal.busy
        assert desk.journal.holds("q")
        desk.ledger.succeed()
        await desk.quiet()
        assert told == ["answer 1", "change 1 True"]
        assert not desk.journal.holds("q")


async def test_a_job_that_changes_often_is_written_once_with_its_newest_state() -> None:
    async with open_desk() as desk:
        made = job(1)
        desk.change(made, first=True)
        desk.change(made)
        made.state = State.RUNNING
        desk.change(made)
        assert states(await desk.ledger.next()) == {made.id: ("Running", 3)}
        desk.ledger.succeed()
        await desk.quiet()
        assert desk.followers.told == [(made.id, 3)]


async def test_an_answer_tells_the_state_that_was_committed_with_it() -> None:
    async with open_desk() as desk:
        made = job(1)
        desk.change(made)
        ask = Ask(desk.journal, made)
        await desk.ledger.next()
        made.state = State.RUNNING
        desk.change(made)
        desk.ledger.succeed()
        answer = await ask.get()
        assert isinstance(answer, JobState)
        assert (answer.state, answer.rev) == (State.QUEUED, 1)
        await desk.ledger.next()
        desk.ledger.succeed()
        await desk.quiet()


async def test_answers_that_need_no_write_come_in_their_place_without_a_commit() -> None:
    async with open_desk() as desk:
        answer = await Ask(desk.journal, job(1)).get()
        assert isinstance(answer, JobState)
        assert desk.ledger.written == []


async def test_a_failed_commit_refuses_answers_and_keeps_the_rest() -> None:
    async with open_desk() as desk:
        made = job(1)
        said: list[JobState] = []
        desk.change(made)
        desk.journal.answer("q", made, said.append, None)
        ask = Ask(desk.journal, made)
        await desk.ledger.next()
        desk.ledger.fail()
        refused = await ask.get()
        assert isinstance(refused, Unavailable)
        assert refused.retry
        assert "the disk is full" in refused.message
        assert desk.journal.failing == "the disk is full"
        assert said == []
        assert desk.journal.holds("q")
        assert states(await desk.ledger.next()) == {made.id: ("Queued", 1)}
        desk.ledger.fail()
        await desk.ledger.next()
        assert said == []
        assert desk.followers.told == []
        desk.ledger.succeed()
        await desk.quiet()
        assert desk.journal.failing is None
        assert [state.rev for state in said] == [1]
        assert desk.followers.told == [(made.id, 1)]


async def test_what_came_meanwhile_is_written_with_what_failed_and_the_newest_wins() -> None:
    async with open_desk() as desk:
        one, two = job(1), job(2)
        desk.change(one, first=True)
        desk.journal.define(one.id, b"one", [])
        desk.journal.result("q", one.id, Result(worker="old"))
        await desk.ledger.next()
        one.state = State.RUNNING
        desk.change(one)
        desk.change(two)
        desk.journal.result("q", one.id, Result(worker="new"))
        desk.ledger.fail()
        commit = await desk.ledger.next()
        assert states(commit) == {one.id: ("Running", 2), two.id: ("Queued", 1)}
        assert DEFINITIONS.rows(commit.puts) == [(one.id, b"one")]
        assert [msgspec.msgpack.decode(body, type=Result).worker for *_, body in RESULTS.rows(commit.puts)] == ["new"]
        desk.ledger.succeed()
        await desk.quiet()


async def test_changes_of_blobs_are_written_in_their_order_and_told_when_they_are_durable() -> None:
    async with open_desk() as desk:
        first = asyncio.ensure_future(desk.journal.blobs(UseBlob("a", 1), DropBlob("a", "place", 2)))
        commit = await desk.ledger.next()
        assert commit.blobs == [UseBlob("a", 1), DropBlob("a", "place", 2)]
        assert not first.done()
        second = asyncio.ensure_future(desk.journal.blobs(UseBlob("b", 3)))
        await asyncio.sleep(0)
        desk.ledger.fail()
        with pytest.raises(Unavailable, match="the disk is full"):
            await first
        commit = await desk.ledger.next()
        assert commit.blobs == [UseBlob("a", 1), DropBlob("a", "place", 2), UseBlob("b", 3)]
        desk.ledger.succeed()
        await second
        await desk.journal.blobs()
        await desk.quiet()


async def test_which_blobs_are_named_is_written_with_what_names_them() -> None:
    async with open_desk() as desk:
        made, key = job(1), job_id(7)
        outputs = {"x": OutputFile(DataRef(key, "key"), 1, key)}
        desk.change(made, first=True)
        desk.journal.define(made.id, b"body", [key])
        desk.journal.result("q", made.id, Result(outputs=outputs))
        commit = await desk.ledger.next()
        assert DEFINITION_BLOBS.rows(commit.puts) == [(made.id, key)]
        assert RESULT_BLOBS.rows(commit.puts) == [("q", made.id, key)]
        desk.journal.forget(desk.followers, made)
        desk.ledger.fail()
        commit = await desk.ledger.next()
        assert RESULT_BLOBS.rows(commit.puts) == []
        desk.ledger.succeed()
        await desk.quiet()


async def test_the_first_change_of_a_run_is_still_the_first_after_a_failure() -> None:
    async with open_desk() as desk:
        made = job(1)
        firsts: list[bool] = []
        desk.followers.publish = lambda changes: firsts.extend(first for _, first in changes)  # type: ignore[method-assign]
        desk.change(made, first=True)
        await desk.ledger.next()
        desk.change(made)
        desk.ledger.fail()
        await desk.ledger.next()
        desk.ledger.succeed()
        await desk.quiet()
        assert firsts == [True]


async def test_a_job_that_is_forgotten_takes_all_that_waits_for_it_along() -> None:
    async with open_desk() as desk:
        made, other = job(1), job(2)
        desk.change(made)
        desk.change(other)
        desk.journal.result("q", made.id, Result())
        done: list[int] = []
        desk.journal.lines(chunk(1, 0, ["a"]), lambda: done.append(1))
        desk.journal.lines(chunk(2, 0, ["b"]), lambda: done.append(2))
        desk.journal.drop_lines("q", made.id, 0)
        made.state = State.REMOVED
        desk.journal.forget(desk.followers, made)
        commit = await desk.ledger.next()
        assert commit.forget == [("q", made.id)]
        assert list(states(commit)) == [other.id]
        assert (RESULTS.rows(commit.puts), commit.drop_chunks) == ([], [])
        assert [one.job for one in LOG_CHUNKS.rows(commit.puts)] == [other.id]
        desk.ledger.succeed()
        await desk.quiet()
        assert done == [1, 2], "nobody waits for lines that went with their job"
        assert desk.followers.told[0][0] == made.id


async def test_a_job_that_is_forgotten_and_made_anew_is_there_after_either_order_of_failures() -> None:
    async with open_desk() as desk:
        made = job(1)
        desk.change(made)
        await desk.ledger.next()
        desk.journal.forget(desk.followers, made)
        again = job(1)
        again.number = 9
        desk.change(again, first=True)
        desk.ledger.fail()
        commit = await desk.ledger.next()
        assert commit.forget == [("q", made.id)]
        assert [row.number for row in JOBS.rows(commit.puts)] == [9]
        desk.ledger.succeed()
        await desk.quiet()


async def test_a_removal_wins_over_what_failed_before_it() -> None:
    async with open_desk() as desk:
        made = job(1)
        desk.change(made)
        desk.journal.result("q", made.id, Result())
        desk.journal.lines(chunk(1, 0, ["a"]), lambda: None)
        desk.journal.drop_lines("q", made.id, 7)
        await desk.ledger.next()
        desk.journal.forget(desk.followers, made)
        desk.ledger.fail()
        commit = await desk.ledger.next()
        assert commit.forget == [("q", made.id)]
        left = [kind.rows(commit.puts) for kind in (JOBS, RESULTS, LOG_CHUNKS)]
        assert (*left, commit.drop_chunks) == ([], [], [], [])
        desk.ledger.succeed()
        await desk.quiet()


async def test_the_log_of_an_earlier_run_goes_and_that_of_the_new_one_stays() -> None:
    async with open_desk() as desk:
        done: list[str] = []
        desk.journal.lines(chunk(1, 0, ["old"]), lambda: done.append("old"))
        desk.journal.drop_lines("q", job_id(1), 0)
        desk.journal.clear_log("q", job_id(1))
        desk.journal.lines(chunk(1, 5, ["new"]), lambda: done.append("new"))
        commit = await desk.ledger.next()
        assert commit.clear == [("q", job_id(1))]
        assert [one.first for one in LOG_CHUNKS.rows(commit.puts)] == [5]
        assert commit.drop_chunks == []
        desk.journal.lines(chunk(1, 6, ["newer"]), lambda: done.append("newer"))
        desk.journal.drop_lines("q", job_id(1), 5)
        desk.ledger.fail()
        commit = await desk.ledger.next()
        assert [one.first for one in LOG_CHUNKS.rows(commit.puts)] == [5, 6]
        assert commit.drop_chunks == [("q", job_id(1), 5)]
        assert commit.clear == [("q", job_id(1))]
        desk.ledger.succeed()
        await desk.quiet()
        assert done == ["old", "new", "newer"]


async def test_a_chunk_of_a_log_that_grew_while_it_waited_is_written_once() -> None:
    async with open_desk() as desk:
        done: list[int] = []
        desk.journal.lines(chunk(1, 0, ["a"]), lambda: done.append(1))
        await desk.ledger.next()
        desk.journal.lines(chunk(1, 0, ["a", "b"]), lambda: done.append(2))
        desk.journal.lines(chunk(1, 0, ["a", "b", "c"]), lambda: done.append(3))
        desk.ledger.fail()
        commit = await desk.ledger.next()
        assert [(one.first, one.last) for one in LOG_CHUNKS.rows(commit.puts)] == [(0, 2)]
        desk.ledger.succeed()
        await desk.quiet()
        assert done == [1, 2, 3]


async def test_webhooks_are_written_and_told_once() -> None:
    async with open_desk() as desk:
        woken: list[int] = []
        done: list[str] = []
        desk.journal.on_webhooks = lambda: woken.append(1)
        row = webhook("a")
        desk.journal.webhook(row)
        desk.journal.webhook_later(webhook("b"), 2, 99, lambda: done.append("b"))
        desk.journal.webhook_done(webhook("c"), lambda: done.append("c"))
        commit = await desk.ledger.next()
        assert (commit.webhooks, commit.webhooks_later, commit.webhooks_done) == ([row], [("b", 2, 99)], ["c"])
        desk.ledger.fail()
        await desk.ledger.next()
        assert (woken, done) == ([], [])
        desk.ledger.succeed()
        await desk.quiet()
        assert (woken, done) == ([1], ["b", "c"])


async def test_close_writes_what_is_left() -> None:
    desk = Desk()
    running = asyncio.ensure_future(desk.journal.run())
    desk.change(job(1))
    desk.journal.close()
    await desk.ledger.next()
    desk.change(job(2))
    desk.ledger.succeed()
    commit = await desk.ledger.next()
    assert list(states(commit)) == [job_id(2)]
    desk.ledger.succeed()
    async with asyncio.timeout(PATIENCE):
        await running


async def test_close_does_not_wait_for_a_database_that_is_away() -> None:
    desk = Desk()
    running = asyncio.ensure_future(desk.journal.run())
    ask = Ask(desk.journal, job(1))
    desk.change(job(1))
    desk.journal.close()
    await desk.ledger.next()
    desk.ledger.fail()
    async with asyncio.timeout(PATIENCE):
        await running
    assert isinstance(await ask.get(), AsmanError)


@pytest.mark.parametrize(
    ("older", "newer", "wanted"),
    [
        ({}, {"dirty": 1}, {"dirty": 1}),
        ({"dirty": 1}, {}, {"dirty": 1}),
        ({"forget": 1}, {"dirty": 1}, {"dirty": 1, "forget": 1}),
        ({"dirty": 1}, {"forget": 1}, {"dirty": 0, "forget": 1}),
        ({"forget": 1}, {"forget": 1}, {"dirty": 0, "forget": 1}),
    ],
)
def test_absorb(older: dict[str, int], newer: dict[str, int], wanted: dict[str, int]) -> None:
    def batch(of: dict[str, int]) -> Batch:
        made = Batch()
        publisher: Any = Followers()
        if of.get("dirty"):
            made.dirty["q", job_id(1)] = (publisher, job(1), False)
        if of.get("forget"):
            made.forget["q", job_id(1)] = (publisher, job(1))
        return made

    whole = batch(older)
    whole.absorb(batch(newer))
    assert {"dirty": len(whole.dirty), "forget": len(whole.forget)} == {"dirty": 0, "forget": 0} | wanted


async def test_the_end_of_a_job_that_is_likely_at_once_shares_the_commit_of_its_submission() -> None:
    async with open_desk() as desk:
        made = job(1)
        desk.change(made, first=True)
        desk.journal.patient()
        for _ in range(3):
            await asyncio.sleep(0)
        assert desk.ledger.begun.empty()
        made.state = State.FINISHED
        desk.change(made)
        assert states(await desk.ledger.next()) == {made.id: (State.FINISHED, 2)}
        desk.ledger.succeed()
        await desk.quiet()
        assert desk.followers.told == [(made.id, 2)]


async def test_an_end_that_does_not_come_is_not_waited_for() -> None:
    async with open_desk() as desk:
        made = job(1)
        desk.change(made, first=True)
        desk.journal.patient()
        assert states(await desk.ledger.next()) == {made.id: (State.QUEUED, 1)}
        desk.ledger.succeed()
        await desk.quiet()


async def test_a_commit_of_several_jobs_waits_for_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 100 * PATIENCE)
    async with open_desk() as desk:
        desk.change(job(1), first=True)
        desk.change(job(2), first=True)
        desk.journal.patient()
        assert len(JOBS.rows((await desk.ledger.next()).puts)) == 2


async def test_a_journal_that_closes_waits_for_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 100 * PATIENCE)
    desk = Desk()
    running = asyncio.ensure_future(desk.journal.run())
    desk.change(job(1), first=True)
    desk.journal.patient()
    for _ in range(3):
        await asyncio.sleep(0)
    desk.journal.close()
    await desk.ledger.next()
    desk.ledger.succeed()
    async with asyncio.timeout(PATIENCE):
        await running


async def test_commits_are_timed_and_failures_counted() -> None:
    async with open_desk() as desk:
        desk.change(job(1), first=True)
        await desk.ledger.next()
        desk.ledger.fail()
        await desk.ledger.next()
        desk.ledger.succeed()
        await desk.quiet()
        assert (sum(desk.journal.seconds.counts), desk.journal.failures, desk.journal.job_rows) == (1, 1, 1)
