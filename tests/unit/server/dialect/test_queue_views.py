"""Ids of older clients: each stands for one job, as long as it is remembered or stored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from asman_server.dialect import queue_views as module
from asman_server.dialect.as_sent import AsSent, Kept
from asman_server.dialect.queue_views import Aliases, QueueViews
from asman_server.queues.shell import QueueShell
from asman_server.storage.reader import Reader
from asman_shared.errors import NotFound

OLD, JOB = "ab" * 32, "cd" * 32


class Stored:
    def __init__(self, **known: str) -> None:
        self.known = known
        self.asked: list[str] = []

    async def unaliased(self, key: str) -> str | None:
        self.asked.append(key)
        return self.known.get(key)


def aliases(stored: Any) -> Aliases:
    return Aliases(cast(Reader, stored))


async def test_an_id_that_nobody_else_uses_stands_for_itself() -> None:
    stored = Stored()
    assert await aliases(stored).job(JOB) == JOB
    assert stored.asked == [JOB]


@pytest.mark.parametrize("key", ["", "no id at all", "\0", JOB[:-1], f"{JOB}\n", JOB.upper(), f"{JOB[:-1]}\0"])
async def test_the_store_is_not_asked_for_what_can_be_no_id(key: str) -> None:
    stored = Stored()
    with pytest.raises(NotFound, match="64 lowercase hex digits"):
        await aliases(stored).job(key)
    assert stored.asked == []


async def test_a_stored_alias_is_asked_for_once() -> None:
    stored = Stored(**{OLD: JOB})
    known = aliases(stored)
    assert [await known.job(OLD) for _ in range(3)] == [JOB] * 3
    assert stored.asked == [OLD]


async def test_a_job_in_memory_needs_no_question() -> None:
    stored = Stored(**{OLD: JOB})
    shell = cast(QueueShell, SimpleNamespace(core=SimpleNamespace(jobs={OLD: object()})))
    assert await aliases(stored).job(OLD, shell) == OLD
    assert stored.asked == []


async def test_what_is_remembered_has_a_bound_and_what_was_said_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALIASES", 2)
    known = aliases(Stored())
    keys = [f"{number:064x}" for number in range(3)]
    known.remember(keys[0], JOB)
    known.remember(keys[1], JOB)
    known.remember(keys[0], JOB)
    known.remember(keys[2], JOB)
    assert [await known.job(key) == JOB for key in keys] == [True, False, True]


class Rows:
    """Rows of submissions, and what is written of them."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, AsSent]] = []

    def keep(self, queue: str, job: str, sent: AsSent) -> None:
        self.written.append((queue, job, sent))

    async def of(self, _queue: str, _jobs: Any) -> dict[str, AsSent]:
        return {}


@pytest.mark.parametrize("there", [True, False])
async def test_an_id_of_a_job_is_stored_unless_the_job_is_being_removed(there: bool) -> None:
    async def job(key: str) -> Any:
        if not there:
            raise NotFound("it is being removed")
        return SimpleNamespace(id=key)

    rows = Rows()
    views = QueueViews(cast(Reader, Stored()), lambda: 0, cast(Kept, rows))
    loaded = cast(dict[str, QueueShell], {"q": SimpleNamespace(job=job)})
    await views.known_as("q", JOB, OLD, loaded)
    assert rows.written == ([("q", JOB, AsSent(aliases=(OLD,)))] if there else [])
    await views.known_as("another", JOB, OLD, loaded)
    assert rows.written[-1] == ("another", JOB, AsSent(aliases=(OLD,))), "nobody removes jobs of a queue that rests"


async def test_an_id_of_a_job_whose_queue_is_deleted_meanwhile_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows()
    views = QueueViews(cast(Reader, Stored()), lambda: 0, cast(Kept, rows))
    before = rows.of

    async def of(queue: str, jobs: Any) -> dict[str, AsSent]:
        monkeypatch.setattr(rows, "of", before)
        views.submissions.queue_deleted(queue)
        return {JOB: AsSent(aliases=(OLD[::-1],))}

    monkeypatch.setattr(rows, "of", of)
    await views.known_as("q", JOB, OLD, {})
    assert (rows.written, views.submissions.of("q", JOB)) == ([], AsSent())
    await views.known_as("r", JOB, OLD, {})
    assert [row[:2] for row in rows.written] == [("r", JOB)]
    views.submissions.queue_deleted("r")
    assert views.submissions.of("r", JOB) == AsSent()
