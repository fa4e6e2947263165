"""The group commit over a writer that fails on request: the order of notifications, and what survives a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec import structs

from asman_server.core import Job
from asman_server.storage import group_commit as module
from asman_server.storage.batch import Batch
from asman_server.storage.blob_changes import DropBlob, UseBlob
from asman_server.storage.commit import Commit, KeyRow, QueueRow, Unwritable
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.row_kinds import DEFINITION_BLOBS, DEFINITIONS, JOBS, LOG_CHUNKS, RESULT_BLOBS, RESULTS
from asman_shared.definition import DataRef
from asman_shared.errors import AsmanError, Unavailable
from asman_shared.messages import JobState, OutputFile, Result
from asman_shared.states import State
from devtools.patience import PATIENCE
from tests.support.rows import Ask, Followers, chunk, job, job_id, webhook


class ScriptedLedger:
    """Each commit waits until the test says how it goes."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Commit] = asyncio.Queue()
        self._ends: asyncio.Queue[str | None] = asyncio.Queue()
        self.written: list[Commit] = []
        self.refused: set[str] = set()
        self.kept: set[str] = set()
        self.unerasable: set[str] = set()

    async def commit(self, commit: Commit) -> None:
        self.begun.put_nowait(commit)
        error = await self._ends.get()
        if error is not None:
            raise Unavailable(error)
        named = [key[-1] for kind in (JOBS, DEFINITIONS) for key in commit.puts.get(kind, ())]
        if self.unerasable.intersection(commit.erase):
            raise Unwritable("this queue stays")
        if self.refused.intersection(named) or self.kept.intersection(key[1] for key in commit.forget):
            raise Unwritable("no column can hold this")
        self.written.append(commit)

    async def next(self) -> Commit:
        async with asyncio.timeout(PATIENCE):
            return await self.begun.get()

    def succeed(self) -> None:
        self._ends.put_nowait(None)

    def fail(self, why: str = "the disk is full") -> None:
        self._ends.put_nowait(why)


class Harness:
    """A running group commit with the objects around it."""

    def __init__(self) -> None:
        self.writer = ScriptedLedger()
        self.committer = GroupCommitter(self.writer)
        self.followers = Followers()

    def change(self, made: Job, *, first: bool = False) -> None:
        made.rev += 1
        self.committer.changed(self.followers, made, first=first)

    async def quiet(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.committer.busy:
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.0)


@asynccontextmanager
async def open_harness() -> AsyncIterator[Harness]:
    harness = Harness()
    running = asyncio.ensure_future(harness.committer.run())
    try:
        yield harness
    finally:
        running.cancel()
        await asyncio.wait([running])


def states(commit: Commit) -> dict[str, tuple[str, int]]:
    decoded = [(row, Job.unpack(row.record)) for row in JOBS.rows(commit.puts)]
    return {row.id: (row.state, made.rev) for row, made in decoded}


async def test_nothing_is_said_before_its_commit_and_answers_come_before_changes() -> None:
    async with open_harness() as harness:
        told: list[str] = []
        made = job(1)
        harness.change(made, first=True)
        harness.committer.answer("q", made, lambda state: told.append(f"answer {state.rev}"), None)
        harness.followers.publish = lambda changes: told.extend(f"change {s.rev} {f}" for s, f in changes)  # type: ignore[method-assign]
        await harness.writer.next()
        assert told == []
        assert harness.committer.busy
        assert harness.committer.holds("q")
        harness.writer.succeed()
        await harness.quiet()
        assert told == ["answer 1", "change 1 True"]
        assert not harness.committer.holds("q")


async def test_a_job_that_changes_often_is_written_once_with_its_newest_state() -> None:
    async with open_harness() as harness:
        made = job(1)
        harness.change(made, first=True)
        harness.change(made)
        made.state = State.RUNNING
        harness.change(made)
        assert states(await harness.writer.next()) == {made.id: ("Running", 3)}
        harness.writer.succeed()
        await harness.quiet()
        assert harness.followers.told == [(made.id, 3)]


async def test_an_answer_tells_the_state_that_was_committed_with_it() -> None:
    async with open_harness() as harness:
        made = job(1)
        harness.change(made)
        ask = Ask(harness.committer, made)
        await harness.writer.next()
        made.state = State.RUNNING
        harness.change(made)
        harness.writer.succeed()
        answer = await ask.get()
        assert isinstance(answer, JobState)
        assert (answer.state, answer.rev) == (State.QUEUED, 1)
        await harness.writer.next()
        harness.writer.succeed()
        await harness.quiet()


async def test_answers_that_need_no_write_come_in_their_place_without_a_commit() -> None:
    async with open_harness() as harness:
        answer = await Ask(harness.committer, job(1)).get()
        assert isinstance(answer, JobState)
        assert harness.writer.written == []


async def test_a_failed_commit_refuses_answers_and_keeps_the_rest() -> None:
    async with open_harness() as harness:
        made = job(1)
        said: list[JobState] = []
        harness.change(made)
        harness.committer.answer("q", made, said.append, None)
        ask = Ask(harness.committer, made)
        await harness.writer.next()
        harness.writer.fail()
        refused = await ask.get()
        assert isinstance(refused, Unavailable)
        assert refused.retry
        assert "the disk is full" in refused.message
        assert harness.committer.failing == "the disk is full"
        assert said == []
        assert harness.committer.holds("q")
        assert states(await harness.writer.next()) == {made.id: ("Queued", 1)}
        harness.writer.fail()
        await harness.writer.next()
        assert said == []
        assert harness.followers.told == []
        harness.writer.succeed()
        await harness.quiet()
        assert harness.committer.failing is None
        assert [state.rev for state in said] == [1]
        assert harness.followers.told == [(made.id, 1)]


async def test_what_came_meanwhile_is_written_with_what_failed_and_the_newest_wins() -> None:
    async with open_harness() as harness:
        one, two = job(1), job(2)
        harness.change(one, first=True)
        harness.committer.define(one.id, b"one", [])
        harness.committer.result("q", one.id, Result(worker="old"))
        await harness.writer.next()
        one.state = State.RUNNING
        harness.change(one)
        harness.change(two)
        harness.committer.result("q", one.id, Result(worker="new"))
        harness.writer.fail()
        commit = await harness.writer.next()
        assert states(commit) == {one.id: ("Running", 2), two.id: ("Queued", 1)}
        assert DEFINITIONS.rows(commit.puts) == [(one.id, b"one")]
        assert [msgspec.msgpack.decode(body, type=Result).worker for *_, body in RESULTS.rows(commit.puts)] == ["new"]
        harness.writer.succeed()
        await harness.quiet()


async def test_changes_of_blobs_are_written_in_their_order_and_told_when_they_are_durable() -> None:
    async with open_harness() as harness:
        first = asyncio.ensure_future(harness.committer.blobs(UseBlob("a", 1), DropBlob("a", "place", 2)))
        commit = await harness.writer.next()
        assert commit.blobs == [UseBlob("a", 1), DropBlob("a", "place", 2)]
        assert not first.done()
        second = asyncio.ensure_future(harness.committer.blobs(UseBlob("b", 3)))
        await asyncio.sleep(0)
        harness.writer.fail()
        with pytest.raises(Unavailable, match="the disk is full"):
            await first
        commit = await harness.writer.next()
        assert commit.blobs == [UseBlob("a", 1), DropBlob("a", "place", 2), UseBlob("b", 3)]
        harness.writer.succeed()
        await second
        await harness.committer.blobs()
        await harness.quiet()


async def test_which_blobs_are_named_is_written_with_what_names_them() -> None:
    async with open_harness() as harness:
        made, key = job(1), job_id(7)
        outputs = {"x": OutputFile(DataRef(key, "key"), 1, key)}
        harness.change(made, first=True)
        harness.committer.define(made.id, b"body", [key])
        harness.committer.result("q", made.id, Result(outputs=outputs))
        commit = await harness.writer.next()
        assert DEFINITION_BLOBS.rows(commit.puts) == [(made.id, key)]
        assert RESULT_BLOBS.rows(commit.puts) == [("q", made.id, key)]
        harness.committer.forget(harness.followers, made)
        harness.writer.fail()
        commit = await harness.writer.next()
        assert RESULT_BLOBS.rows(commit.puts) == []
        harness.writer.succeed()
        await harness.quiet()


async def test_the_first_change_of_a_run_is_still_the_first_after_a_failure() -> None:
    async with open_harness() as harness:
        made = job(1)
        firsts: list[bool] = []
        harness.followers.publish = lambda changes: firsts.extend(first for _, first in changes)  # type: ignore[method-assign]
        harness.change(made, first=True)
        await harness.writer.next()
        harness.change(made)
        harness.writer.fail()
        await harness.writer.next()
        harness.writer.succeed()
        await harness.quiet()
        assert firsts == [True]


async def test_a_job_that_is_forgotten_takes_all_that_waits_for_it_along() -> None:
    async with open_harness() as harness:
        made, other = job(1), job(2)
        harness.change(made)
        harness.change(other)
        harness.committer.result("q", made.id, Result())
        done: list[int] = []
        harness.committer.lines(chunk(1, 0, ["a"]), lambda: done.append(1))
        harness.committer.lines(chunk(2, 0, ["b"]), lambda: done.append(2))
        harness.committer.drop_lines("q", made.id, 0)
        made.state = State.REMOVED
        harness.committer.forget(harness.followers, made)
        commit = await harness.writer.next()
        assert commit.forget == [("q", made.id)]
        assert list(states(commit)) == [other.id]
        assert (RESULTS.rows(commit.puts), commit.drop_chunks) == ([], [])
        assert [one.job for one in LOG_CHUNKS.rows(commit.puts)] == [other.id]
        harness.writer.succeed()
        await harness.quiet()
        assert done == [1, 2], "nobody waits for lines that went with their job"
        assert harness.followers.told[0][0] == made.id


async def test_a_job_that_is_forgotten_and_made_anew_is_there_after_either_order_of_failures() -> None:
    async with open_harness() as harness:
        made = job(1)
        harness.change(made)
        await harness.writer.next()
        harness.committer.forget(harness.followers, made)
        again = job(1)
        again.number = 9
        harness.change(again, first=True)
        harness.writer.fail()
        commit = await harness.writer.next()
        assert commit.forget == [("q", made.id)]
        assert [row.number for row in JOBS.rows(commit.puts)] == [9]
        harness.writer.succeed()
        await harness.quiet()


async def test_a_removal_wins_over_what_failed_before_it() -> None:
    async with open_harness() as harness:
        made = job(1)
        harness.change(made)
        harness.committer.result("q", made.id, Result())
        harness.committer.lines(chunk(1, 0, ["a"]), lambda: None)
        harness.committer.drop_lines("q", made.id, 7)
        await harness.writer.next()
        harness.committer.forget(harness.followers, made)
        harness.writer.fail()
        commit = await harness.writer.next()
        assert commit.forget == [("q", made.id)]
        left = [kind.rows(commit.puts) for kind in (JOBS, RESULTS, LOG_CHUNKS)]
        assert (*left, commit.drop_chunks) == ([], [], [], [])
        harness.writer.succeed()
        await harness.quiet()


async def test_the_log_of_a_run_long_ago_goes_and_those_after_it_stay() -> None:
    async with open_harness() as harness:
        done: list[str] = []
        harness.committer.lines(chunk(1, 0, ["old"]), lambda: done.append("old"))
        harness.committer.drop_lines("q", job_id(1), 0)
        harness.committer.lines(chunk(1, 5, ["ended"]), lambda: done.append("ended"))
        harness.committer.trim_log("q", job_id(1), 5)
        harness.committer.lines(chunk(1, 6, ["new"]), lambda: done.append("new"))
        commit = await harness.writer.next()
        assert commit.trim == [("q", job_id(1), 5)]
        assert [one.first for one in LOG_CHUNKS.rows(commit.puts)] == [5, 6]
        assert commit.drop_chunks == []
        harness.committer.lines(chunk(1, 7, ["newer"]), lambda: done.append("newer"))
        harness.committer.drop_lines("q", job_id(1), 5)
        harness.writer.fail()
        commit = await harness.writer.next()
        assert [one.first for one in LOG_CHUNKS.rows(commit.puts)] == [5, 6, 7]
        assert commit.drop_chunks == [("q", job_id(1), 5)]
        assert commit.trim == [("q", job_id(1), 5)]
        harness.writer.succeed()
        await harness.quiet()
        assert done == ["old", "ended", "new", "newer"]


async def test_a_chunk_of_a_log_that_grew_while_it_waited_is_written_once() -> None:
    async with open_harness() as harness:
        done: list[int] = []
        harness.committer.lines(chunk(1, 0, ["a"]), lambda: done.append(1))
        await harness.writer.next()
        harness.committer.lines(chunk(1, 0, ["a", "b"]), lambda: done.append(2))
        harness.committer.lines(chunk(1, 0, ["a", "b", "c"]), lambda: done.append(3))
        harness.writer.fail()
        commit = await harness.writer.next()
        assert [(one.first, one.last) for one in LOG_CHUNKS.rows(commit.puts)] == [(0, 2)]
        harness.writer.succeed()
        await harness.quiet()
        assert done == [1, 2, 3]


async def test_webhooks_are_written_and_told_once() -> None:
    async with open_harness() as harness:
        woken: list[int] = []
        done: list[str] = []
        harness.committer.on_webhooks = lambda: woken.append(1)
        row = webhook("a")
        harness.committer.webhook(row, job_id(1))
        harness.committer.webhook_later(webhook("b"), 2, 99, lambda: done.append("b"))
        harness.committer.webhook_done(webhook("c"), lambda: done.append("c"))
        commit = await harness.writer.next()
        assert (commit.webhooks, commit.webhooks_later, commit.webhooks_done) == ([row], [("b", 2, 99)], ["c"])
        harness.writer.fail()
        await harness.writer.next()
        assert (woken, done) == ([], [])
        harness.writer.succeed()
        await harness.quiet()
        assert (woken, done) == ([1], ["b", "c"])


async def test_close_writes_what_is_left() -> None:
    harness = Harness()
    running = asyncio.ensure_future(harness.committer.run())
    harness.change(job(1))
    harness.committer.close()
    await harness.writer.next()
    harness.change(job(2))
    harness.writer.succeed()
    commit = await harness.writer.next()
    assert list(states(commit)) == [job_id(2)]
    harness.writer.succeed()
    async with asyncio.timeout(PATIENCE):
        await running


async def test_close_does_not_wait_for_a_database_that_is_away() -> None:
    harness = Harness()
    running = asyncio.ensure_future(harness.committer.run())
    ask = Ask(harness.committer, job(1))
    harness.change(job(1))
    harness.committer.close()
    await harness.writer.next()
    harness.writer.fail()
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
            made.dirty["q", job_id(1)] = (publisher, job(1), False, False)
        if of.get("forget"):
            made.forget["q", job_id(1)] = (publisher, job(1))
        return made

    whole = batch(older)
    whole.absorb(batch(newer))
    assert {"dirty": len(whole.dirty), "forget": len(whole.forget)} == {"dirty": 0, "forget": 0} | wanted


async def test_the_end_of_a_job_that_is_likely_at_once_shares_the_commit_of_its_submission() -> None:
    async with open_harness() as harness:
        made = job(1)
        harness.change(made, first=True)
        harness.committer.patient()
        for _ in range(3):
            await asyncio.sleep(0)
        assert harness.writer.begun.empty()
        made.state = State.FINISHED
        harness.change(made)
        assert states(await harness.writer.next()) == {made.id: (State.FINISHED, 2)}
        harness.writer.succeed()
        await harness.quiet()
        assert harness.followers.told == [(made.id, 2)]


async def test_an_end_that_does_not_come_is_not_waited_for() -> None:
    async with open_harness() as harness:
        made = job(1)
        harness.change(made, first=True)
        harness.committer.patient()
        assert states(await harness.writer.next()) == {made.id: (State.QUEUED, 1)}
        harness.writer.succeed()
        await harness.quiet()


async def test_a_commit_of_several_jobs_waits_for_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 100 * PATIENCE)
    async with open_harness() as harness:
        harness.change(job(1), first=True)
        harness.change(job(2), first=True)
        harness.committer.patient()
        assert len(JOBS.rows((await harness.writer.next()).puts)) == 2


async def test_a_group_commit_that_closes_waits_for_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 100 * PATIENCE)
    harness = Harness()
    running = asyncio.ensure_future(harness.committer.run())
    harness.change(job(1), first=True)
    harness.committer.patient()
    for _ in range(3):
        await asyncio.sleep(0)
    harness.committer.close()
    await harness.writer.next()
    harness.writer.succeed()
    async with asyncio.timeout(PATIENCE):
        await running


async def test_commits_are_timed_and_failures_counted() -> None:
    async with open_harness() as harness:
        harness.change(job(1), first=True)
        await harness.writer.next()
        harness.writer.fail()
        await harness.writer.next()
        harness.writer.succeed()
        await harness.quiet()
        assert (sum(harness.committer.seconds.counts), harness.committer.failures, harness.committer.job_rows) == (
            1,
            1,
            1,
        )


# ------------------------------------------------------------------------------------- what the database refuses


async def _succeed_until_quiet(harness: Harness) -> None:
    """Lets every commit succeed that the database does not refuse."""
    for _ in range(30):
        harness.writer.succeed()
    await harness.quiet()


async def test_one_job_that_the_database_refuses_holds_up_no_other() -> None:
    async with open_harness() as harness:
        jobs = [job(n) for n in range(1, 10)]
        harness.writer.refused = {jobs[4].id}
        for made in jobs:
            harness.change(made, first=True)
        asked = [Ask(harness.committer, made) for made in jobs]
        await _succeed_until_quiet(harness)
        said = [await ask.get() for ask in asked]
        assert [isinstance(answer, JobState) for answer in said] == [n != 4 for n in range(9)]
        assert isinstance(said[4], Unwritable)
        assert "no column can hold this" in said[4].message
        assert not said[4].retry
        stored = {key for commit in harness.writer.written for key in states(commit)}
        assert stored == {made.id for made in jobs} - {jobs[4].id}
        assert {key for key, _ in harness.followers.told} == stored, "nobody is told of what is not durable"
        assert harness.followers.given_up == [(jobs[4].id, 1, False, False)]
        assert harness.committer.failing is None, "the database works"
        assert harness.committer.refused == 1


async def test_a_removal_is_durable_though_what_was_submitted_after_it_is_refused() -> None:
    async with open_harness() as harness:
        made = job(1)
        harness.writer.refused = {made.id}
        made.state = State.REMOVED
        harness.committer.forget(harness.followers, made)
        removed = Ask(harness.committer, made)
        harness.committer.define(made.id, b"what no column can hold", [])
        await _succeed_until_quiet(harness)
        assert isinstance(await removed.get(), JobState)
        assert [commit.forget for commit in harness.writer.written] == [[("q", made.id)]]
        assert [told for told, *_ in harness.followers.told] == [made.id]


async def test_a_removal_is_told_before_any_answer_about_a_later_job_with_the_id() -> None:
    async with open_harness() as harness:
        told: list[str] = []
        removed, later = job(1), job(1)
        removed.queued, removed.rev, removed.state = 5, 7, State.REMOVED
        later.queued = 6
        answers = harness.committer.answer
        harness.followers.publish = lambda changes: told.extend(f"{s.state.value} {s.queued}" for s, _ in changes)  # type: ignore[method-assign]
        answers("q", removed, lambda state: told.append(f"answer {state.queued}"), None)
        harness.committer.forget(harness.followers, removed)
        harness.change(later, first=True)
        answers("q", later, lambda state: told.append(f"answer {state.queued}"), None)
        answers("q", later, lambda state: told.append(f"answer {state.queued}"), None)
        await harness.writer.next()
        harness.writer.succeed()
        await harness.quiet()
        assert told == ["answer 5", "Removed 5", "answer 6", "answer 6", "Queued 6"]


async def test_answers_about_a_job_that_was_read_back_twice_tell_its_runs_in_their_order() -> None:
    async with open_harness() as harness:
        told: list[str] = []
        read_first, removed, later = job(1), job(1), job(1)
        read_first.queued, read_first.rev, read_first.state = 5, 6, State.FINISHED
        removed.queued, removed.rev, removed.state = 5, 7, State.REMOVED
        later.queued = 8
        harness.followers.publish = lambda changes: told.extend(f"{s.state.value} {s.queued}" for s, _ in changes)  # type: ignore[method-assign]

        def answer(about: Job) -> None:
            harness.committer.answer(
                "q", about, lambda state: told.append(f"answer: {state.state.value} {state.queued}"), None
            )

        answer(read_first)
        answer(removed)
        harness.committer.forget(harness.followers, removed)
        harness.change(later, first=True)
        answer(later)
        await harness.writer.next()
        harness.writer.succeed()
        await harness.quiet()
        assert told == ["answer: Finished 5", "answer: Removed 5", "Removed 5", "answer: Queued 8", "Queued 8"]


async def test_an_answer_tells_the_newest_state_of_its_run_though_the_job_was_read_back_since() -> None:
    async with open_harness() as harness:
        told: list[int] = []
        left, read_back = job(1), job(1)
        left.queued = read_back.queued = 5
        left.rev, read_back.rev = 6, 7
        harness.committer.answer("q", left, lambda state: told.append(state.rev), None)
        harness.change(read_back)
        await harness.writer.next()
        harness.writer.succeed()
        await harness.quiet()
        assert told == [8]


@pytest.mark.parametrize("after_a_failure", [False, True])
async def test_the_webhooks_of_a_removed_job_go_with_its_removal_and_those_of_its_next_run_with_that(
    after_a_failure: bool,
) -> None:
    async with open_harness() as harness:
        made, other = job(1), job(2)
        harness.writer.refused = {other.id}
        harness.committer.webhook(webhook("of the end"), made.id)
        if after_a_failure:  # the removal comes while an earlier batch is tried again
            harness.change(made)
            await harness.writer.next()
            harness.writer.fail()
        harness.committer.forget(harness.followers, made)
        harness.change(job(1), first=True)
        harness.committer.webhook(webhook("of the begin"), made.id)
        harness.change(other)
        await _succeed_until_quiet(harness)
        told = [(bool(commit.forget), [call.id for call in commit.webhooks]) for commit in harness.writer.written]
        assert [each for each in told if each[1]] == [(True, ["of the end"]), (False, ["of the begin"])]


async def test_a_removal_that_the_database_refuses_is_not_told_as_done_and_holds_up_no_other() -> None:
    async with open_harness() as harness:
        made, other = job(1), job(2)
        harness.writer.kept = {made.id}
        harness.committer.forget(harness.followers, made)
        harness.committer.forget(harness.followers, other)
        asked = [Ask(harness.committer, each) for each in (made, other)]
        await _succeed_until_quiet(harness)
        assert isinstance(await asked[0].get(), Unwritable)
        assert isinstance(await asked[1].get(), JobState)
        assert [told for told, *_ in harness.followers.told] == [other.id]
        assert harness.committer.refused == 1


async def test_an_answer_that_tells_of_a_refused_state_is_refused_too() -> None:
    async with open_harness() as harness:
        made = job(1)
        harness.writer.refused = {made.id}
        harness.change(made, first=True)
        await harness.writer.next()
        later = Ask(harness.committer, made)  # while the commit is under way
        await _succeed_until_quiet(harness)
        assert isinstance(await later.get(), Unwritable)


async def test_a_worker_hears_of_its_result_once_what_took_its_place_is_durable() -> None:
    async with open_harness() as harness:
        made, heard = job(1), asyncio.Event()
        harness.writer.refused = {made.id}
        harness.change(made)
        harness.committer.answer("q", made, lambda _state: heard.set(), None)
        given_up = harness.followers.not_stored

        def replace(*about: Any, **more: Any) -> None:
            given_up(*about, **more)
            assert not heard.is_set()
            harness.writer.refused.clear()
            harness.change(made)

        harness.followers.not_stored = replace  # type: ignore[method-assign]
        await _succeed_until_quiet(harness)
        assert heard.is_set()
        assert states(harness.writer.written[-1]) == {made.id: ("Queued", 2)}


async def test_a_job_that_cant_be_encoded_holds_up_no_other() -> None:
    async with open_harness() as harness:
        good, bad = job(1), job(2, worker_name="half a pair: \ud800")
        harness.change(good, first=True)
        harness.change(bad, first=True)
        asked = [Ask(harness.committer, made) for made in (good, bad)]
        await _succeed_until_quiet(harness)
        assert isinstance(await asked[0].get(), JobState)
        assert isinstance(await asked[1].get(), Unwritable)
        assert harness.followers.given_up == [(bad.id, 1, False, False)]


async def test_lines_of_a_refused_job_are_written_with_what_takes_its_place() -> None:
    """Without it, the next hub would take the job for one that never ran, and use their numbers again."""
    async with open_harness() as harness:
        made, done = job(1, attempt=1), list[str]()
        harness.writer.refused = {made.id}
        given_up = harness.followers.not_stored

        def replace(*about: Any, **more: Any) -> None:
            given_up(*about, **more)
            harness.writer.refused.clear()
            harness.change(made)

        harness.followers.not_stored = replace  # type: ignore[method-assign]
        harness.change(made)
        harness.committer.lines(chunk(1, 0, ["a"]), lambda: done.append("a"))
        await _succeed_until_quiet(harness)
        (written,) = [commit for commit in harness.writer.written if states(commit)]
        assert [one.first for one in LOG_CHUNKS.rows(written.puts)] == [0]
        assert [commit for commit in harness.writer.written if LOG_CHUNKS.rows(commit.puts)] == [written]
        assert harness.committer.refused == 1
        assert done == ["a"]


@pytest.mark.parametrize("meanwhile", ["grown", "trimmed", "forgotten"])
async def test_newer_lines_stand_in_the_place_of_those_of_a_refused_job(meanwhile: str) -> None:
    async with open_harness() as harness:
        made = job(1, attempt=1)
        harness.writer.refused = {made.id}
        harness.change(made)
        harness.committer.lines(chunk(1, 0, ["a"]), lambda: None)
        await harness.writer.next()  # under way
        if meanwhile == "grown":
            harness.committer.lines(chunk(1, 0, ["a", "b"]), lambda: None)
        elif meanwhile == "trimmed":
            harness.committer.trim_log("q", made.id, 1)
        else:
            harness.committer.forget(harness.followers, made)
        await _succeed_until_quiet(harness)
        found = [(one.first, one.last) for commit in harness.writer.written for one in LOG_CHUNKS.rows(commit.puts)]
        assert found == ([(0, 1)] if meanwhile == "grown" else [])


async def test_lines_of_a_job_that_cant_be_encoded_wait_for_what_takes_its_place() -> None:
    async with open_harness() as harness:
        bad = job(2, worker_name="half a pair: \ud800")
        harness.change(bad)
        harness.committer.lines(chunk(2, 0, ["a"]), lambda: None)
        harness.committer.lines(chunk(1, 0, ["b"]), lambda: None)
        given_up = harness.followers.not_stored

        def replace(*about: Any, **more: Any) -> None:
            given_up(*about, **more)
            bad.worker_name = "whole"
            harness.change(bad)

        harness.followers.not_stored = replace  # type: ignore[method-assign]
        await _succeed_until_quiet(harness)
        with_lines = [{one.job for one in LOG_CHUNKS.rows(commit.puts)} for commit in harness.writer.written]
        assert with_lines[:2] == [{job_id(1)}, {job_id(2)}]
        assert states(harness.writer.written[1]).keys() == {bad.id}


async def test_a_database_that_goes_away_meanwhile_is_tried_again() -> None:
    async with open_harness() as harness:
        good, bad = job(1), job(2)
        harness.writer.refused = {bad.id}
        for made in (good, bad):
            harness.change(made, first=True)
        asked = [Ask(harness.committer, made) for made in (good, bad)]
        harness.writer.succeed()  # refused as a whole
        harness.writer.succeed()  # refused again, in one part
        harness.writer.fail()
        assert [type(await ask.get()) for ask in asked] == [Unavailable] * 2
        await _succeed_until_quiet(harness)
        assert {key for commit in harness.writer.written for key in states(commit)} == {good.id}
        assert harness.followers.given_up == [(bad.id, 1, False, False)]


async def test_nothing_of_an_erased_queue_is_written_with_its_erasure_or_after_a_failure() -> None:
    async with open_harness() as harness:
        committer, gone = harness.committer, asyncio.Event()

        def rows() -> None:
            harness.change(job(1), first=True)
            committer.lines(chunk(1, 0, ["x"]), lambda: None)
            committer.note("q", job_id(1), b"x")
            committer.webhook(webhook("w"), job_id(1))
            committer.key(KeyRow("h", "q", "read", 1))
            committer.configure(QueueRow("q", 1, 1, 1))
            committer.forget_keys("q", 1)

        rows()
        await harness.writer.next()
        rows()
        committer.erase("q", lambda erased: gone.set() if erased else None)
        rows()
        harness.writer.fail()
        written = await harness.writer.next()
        rows()
        harness.writer.succeed()
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
        harness.writer.succeed()
        await harness.quiet()
        assert not any(JOBS.rows(commit.puts) or commit.keys or commit.queues for commit in harness.writer.written[1:])
        assert written.erase == ["q"]
        assert not any(rows for kind, rows in written.puts.items() if kind.group[0] == "queue")
        assert structs.replace(written, puts={}, erase=[]) == Commit({})
        assert harness.followers.told == []


async def test_an_erasure_that_the_database_refuses_for_good_is_told_and_answers_about_the_queue_are_refused() -> None:
    async with open_harness() as harness:
        committer = harness.committer
        told: list[bool] = []
        harness.writer.refused = {job_id(2)}
        harness.writer.unerasable = {"q"}
        asked = Ask(committer, job(1))
        committer.erase("q", told.append)
        followers = Followers()
        followers.name = "other"
        committer.changed(followers, job(2), first=True)
        await _succeed_until_quiet(harness)
        assert told == [False]
        assert isinstance(await asked.get(), Unwritable)
