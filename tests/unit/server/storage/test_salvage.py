"""Commits that a database refuses: their parts, and what is written of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asman_server.storage.blob_changes import UseBlob
from asman_server.storage.commit import Commit, KeyRow, QueueRow, Unwritable
from asman_server.storage.row_kinds import JOBS, LOG_CHUNKS
from asman_server.storage.salvage import About, joined, parts_of, salvage
from asman_shared.errors import Unavailable
from tests.support.rows import chunk, commit, job, job_id, row, webhook

CALLERS = {"w1": ("q", job_id(1)), "w2": ("q", job_id(2))}


def _everything() -> Commit:
    return commit(
        definitions=[(job_id(1), b"one"), (job_id(2), b"two")],
        definition_blobs=[(job_id(1), "5a"), (job_id(1), "5b")],
        aliases=[("an older id", job_id(2))],
        jobs=[row(job(n)) for n in range(1, 9)],
        results=[("q", job_id(1), b"result")],
        result_blobs=[("q", job_id(1), "5c")],
        log_chunks=[chunk(1, 0, ["a", "b"]), chunk(1, 2, ["c"]), chunk(2, 0, ["d"])],
        signatures=[("q", job_id(3), b"ends")],
        forget=[("q", job_id(1)), ("q", job_id(9))],
        trim=[("q", job_id(4), 7)],
        drop_chunks=[("q", job_id(1), 0)],
        webhooks=[webhook("w1"), webhook("w2")],
        webhooks_later=[("w3", 1, 5)],
        webhooks_done=["w4"],
        erase=["gone"],
        forget_queues=["old"],
        queues=[QueueRow("q", 1, 2, 3)],
        keys=[KeyRow("5a", "q", "read", 1), KeyRow("5b", "q2", "read", 1)],
        forget_keys=[("old", 5)],
        blobs=[UseBlob("5a", 7), UseBlob("5b", 8)],
    )


class Database:
    """A writer that refuses what a function says, or is away."""

    def __init__(self, refuses: Callable[[Commit], bool]) -> None:
        self.refuses = refuses
        self.written: list[Commit] = []
        self.tries = 0

    async def commit(self, some: Commit) -> None:
        self.tries += 1
        if self.refuses(some):
            raise Unwritable("no column can hold this")
        self.written.append(some)


def _ids(some: Commit) -> set[str]:
    return {key[1] for key in some.puts.get(JOBS, ())}


def test_the_parts_of_a_commit_are_the_whole_commit() -> None:
    whole = _everything()
    again = joined(parts_of(whole, CALLERS))
    for kind, rows in whole.puts.items():
        assert again.puts.get(kind, {}) == rows
    for name in Commit.__struct_fields__:
        if name != "puts":
            assert sorted(map(repr, getattr(again, name))) == sorted(map(repr, getattr(whole, name))), name
    assert again.blobs == whole.blobs, "in their order"


def test_a_job_is_one_part_with_all_that_must_be_written_with_it() -> None:
    (part,) = [
        each for each in parts_of(_everything(), CALLERS) if each.key == ("q", job_id(1)) and each.about is About.JOB
    ]
    assert {kind.name for kind in part.commit.puts} == {"jobs", "results", "result_blobs"}
    assert part.commit.forget == [], "its removal precedes it and hangs on none of its rows"
    assert [call.id for call in part.commit.webhooks] == ["w1"]


async def test_everything_but_the_refused_job_is_written() -> None:
    database = Database(lambda some: job_id(5) in _ids(some))
    refused = await salvage(database.commit, _everything(), CALLERS)
    assert [(each.part.about, each.part.key, each.reason) for each in refused] == [
        (About.JOB, ("q", job_id(5)), "no column can hold this")
    ]
    assert set().union(*map(_ids, database.written)) == {job_id(n) for n in range(1, 9)} - {job_id(5)}


async def test_few_tries_find_one_job_among_thousands() -> None:
    database = Database(lambda some: job_id(1234) in _ids(some))
    refused = await salvage(database.commit, commit(jobs=[row(job(n)) for n in range(1, 4001)]), {})
    assert [each.part.key for each in refused] == [("q", job_id(1234))]
    assert database.tries < 2 * 13


async def test_a_definition_is_written_before_its_job_and_refused_with_it() -> None:
    def odd(some: Commit) -> bool:
        return any(key == (job_id(2),) for rows in some.puts.values() for key in rows)

    database = Database(odd)
    refused = await salvage(database.commit, _everything(), CALLERS)
    assert {(each.part.about, each.part.key) for each in refused} == {
        (About.DEFINITION, ("", job_id(2))),
        (About.JOB, ("q", job_id(2))),
        (About.LOG, ("q", job_id(2))),
    }
    removals, *others = database.written
    assert (removals.forget, removals.puts) == (_everything().forget, {})
    kinds = [{kind.name for kind in some.puts} for some in others]
    assert kinds[0] <= {"definitions", "definition_blobs", "aliases"}
    assert not any(job_id(2) in _ids(some) for some in database.written)


async def test_a_job_is_removed_though_the_definition_of_its_next_run_is_refused() -> None:
    key = ("q", job_id(2))
    database = Database(lambda some: any((job_id(2),) in rows for rows in some.puts.values()))
    refused = await salvage(database.commit, commit(definitions=[(job_id(2), b"two")], forget=[key]), {})
    assert [some.forget for some in database.written] == [[key]]
    assert [(each.part.about, each.part.key) for each in refused] == [(About.DEFINITION, ("", job_id(2)))]


async def test_a_refused_removal_costs_no_other_part() -> None:
    key = ("q", job_id(9))
    database = Database(lambda some: key in some.forget)
    refused = await salvage(database.commit, _everything(), CALLERS)
    assert [(each.part.about, each.part.key) for each in refused] == [(About.REMOVAL, key)]
    assert ("q", job_id(1)) in [each for some in database.written for each in some.forget]
    assert set().union(*map(_ids, database.written)) == {job_id(n) for n in range(1, 9)}


async def test_a_removal_is_written_with_the_webhooks_that_tell_of_it_and_with_no_others() -> None:
    """A hub that is killed between the two would remember neither the job nor whom to tell."""
    whole = commit(
        jobs=[row(job(1)), row(job(2))],
        forget=[("q", job_id(1))],
        webhooks=[webhook("w1"), webhook("of the next run")],
    )
    callers = {"w1": ("q", job_id(1)), "of the next run": ("q", job_id(1))}
    database = Database(lambda some: job_id(2) in _ids(some))
    await salvage(database.commit, whole, callers, {"w1"})
    removal, *rest = database.written
    assert removal.forget == [("q", job_id(1))]
    assert [call.id for call in removal.webhooks] == ["w1"]
    assert [call.id for some in rest for call in some.webhooks] == ["of the next run"]


async def test_a_refused_removal_does_not_cost_its_webhooks() -> None:
    whole = commit(forget=[("q", job_id(1))], webhooks=[webhook("w1")])
    database = Database(lambda some: bool(some.forget))
    (refused,) = await salvage(database.commit, whole, CALLERS, {"w1"})
    assert (refused.part.about, refused.part.commit.webhooks) == (About.REMOVAL, [])
    assert [call.id for some in database.written for call in some.webhooks] == ["w1"]


async def test_a_refused_webhook_does_not_cost_its_job() -> None:
    database = Database(lambda some: any(call.id == "w2" for call in some.webhooks))
    refused = await salvage(database.commit, _everything(), CALLERS)
    assert [(each.part.about, [call.id for call in each.part.commit.webhooks]) for each in refused] == [
        (About.WEBHOOKS, ["w2"])
    ]
    assert job_id(2) in set().union(*map(_ids, database.written))


async def test_a_refused_log_line_does_not_cost_its_job() -> None:
    database = Database(lambda some: ("q", job_id(1), 2) in some.puts.get(LOG_CHUNKS, ()))
    refused = await salvage(database.commit, _everything(), CALLERS)
    assert [(each.part.about, each.part.key) for each in refused] == [(About.LOG, ("q", job_id(1)))]
    assert job_id(1) in set().union(*map(_ids, database.written))


async def test_lines_are_written_after_the_job_whose_rows_remove_those_of_an_earlier_run() -> None:
    """A chunk before its job would be removed with the earlier run, or be left alone if the hub is killed between."""
    database = Database(lambda some: job_id(5) in _ids(some))
    whole = _everything()
    await salvage(database.commit, whole, CALLERS)
    kinds = [(bool(some.forget or some.trim or _ids(some)), LOG_CHUNKS in some.puts) for some in database.written]
    assert (True, True) not in kinds
    lines = kinds.index((False, True))
    assert all(not job for job, _ in kinds[lines:])
    assert {key for some in database.written for key in some.puts.get(LOG_CHUNKS, ())} == set(whole.puts[LOG_CHUNKS])


async def test_no_line_is_written_without_its_job() -> None:
    database = Database(lambda some: job_id(1) in _ids(some))
    refused = await salvage(database.commit, _everything(), CALLERS)
    assert {(each.part.about, each.part.key) for each in refused} == {
        (About.JOB, ("q", job_id(1))),
        (About.LOG, ("q", job_id(1))),
    }
    assert [key for some in database.written for key in some.puts.get(LOG_CHUNKS, ())] == [("q", job_id(2), 0)]


async def test_a_database_that_is_away_is_not_taken_for_a_refusal() -> None:
    async def away(_some: Commit) -> None:
        raise Unavailable("it is away")

    with pytest.raises(Unavailable):
        await salvage(away, _everything(), CALLERS)
