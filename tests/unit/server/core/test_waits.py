"""Deadlines of waiting jobs: each comes up once, at its time, and only the newest of a job counts."""

from __future__ import annotations

from asman_server.core import Job
from asman_server.core.waits import Waits
from asman_shared.messages import Summary


def waiting(name: str, queued: int, limit: int) -> Job:
    return Job(id=name, number=1, summary=Summary(), queued=queued, queue_limit=limit)


def test_a_job_is_due_at_its_deadline_and_not_a_millisecond_earlier() -> None:
    waits = Waits()
    waits.watch(waiting("a", queued=1000, limit=500))
    assert list(waits.due(1499)) == []
    assert list(waits.due(1500)) == ["a"]


def test_a_deadline_comes_up_once() -> None:
    waits = Waits()
    waits.watch(waiting("a", queued=0, limit=10))
    assert list(waits.due(10)) == ["a"]
    assert list(waits.due(10_000)) == []
    assert not waits


def test_the_earliest_deadline_comes_first_whatever_the_order_of_watching() -> None:
    waits = Waits()
    for name, limit in (("late", 30), ("early", 10), ("middle", 20)):
        waits.watch(waiting(name, queued=0, limit=limit))
    assert list(waits.due(20)) == ["early", "middle"]
    assert list(waits.due(30)) == ["late"]


def test_a_job_without_a_limit_is_never_due() -> None:
    waits = Waits()
    waits.watch(waiting("a", queued=5, limit=0))
    assert not waits
    assert list(waits.due(10**15)) == []


def test_a_job_that_is_watched_again_has_only_its_newest_deadline() -> None:
    waits = Waits()
    job = waiting("a", queued=0, limit=10)
    waits.watch(job)
    job.returned = 100
    waits.watch(job)
    assert list(waits.due(109)) == []
    assert list(waits.due(110)) == ["a"]


def test_a_deadline_that_was_brought_forward_is_not_said_again_at_the_old_time() -> None:
    waits = Waits()
    job = waiting("a", queued=0, limit=100)
    waits.watch(job)
    job.queue_limit = 10
    waits.watch(job)
    assert list(waits.due(10)) == ["a"]
    assert list(waits.due(100)) == []


def test_a_job_that_may_wait_for_ever_from_now_on_has_no_deadline_left() -> None:
    waits = Waits()
    job = waiting("a", queued=0, limit=10)
    waits.watch(job)
    job.queue_limit = 0
    waits.watch(job)
    assert list(waits.due(10)) == []
