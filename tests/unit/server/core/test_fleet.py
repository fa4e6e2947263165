"""The choice among workers and jobs: who fits where, and the room that is kept for a job that needs much."""

from __future__ import annotations

import pytest

from asman_server.core import QueuePolicy
from asman_shared.definition import Shape
from tests.support.core_world import World, job_id

SMALL, MIDDLE, BIG = Shape(cpus=1000), Shape(cpus=2000), Shape(cpus=4000)


@pytest.fixture
def w() -> World:
    """Worker a keeps 2 free cpus for job 3, which needs 4; worker b keeps 1 free cpu for job 4, which needs 2."""
    made = World(QueuePolicy(patience=1000))
    made.join("a", cpus=4)
    made.join("b", cpus=3)
    made.submit(1, shape=MIDDLE)
    made.submit(2, shape=MIDDLE)
    assert {job.worker_name for job in made.core.jobs.values()} == {"a", "b"}
    made.submit(3, shape=BIG)
    made.wait(1001)
    made.submit(4, shape=MIDDLE)
    made.wait(1001)
    made.submit(5, shape=SMALL)
    made.submit(6, shape=SMALL)
    assert made.running() == {1, 2}
    return made


def test_room_that_is_freed_by_using_other_freed_room_is_offered_in_the_same_step(w: World) -> None:
    w.cancel(3)
    assert w.assigned() == [4, 5], "job 4 went to a, so b has room for job 5"


def test_room_that_is_freed_by_deleting_a_job_is_offered_in_the_same_step(w: World) -> None:
    w.delete(3)
    assert w.assigned() == [4, 5]


def test_room_that_is_freed_by_a_worker_that_joins_is_offered_in_the_same_step(w: World) -> None:
    w.join("c", cpus=2)
    assert w.assigned() == [4, 5], "job 4 went to c, so b has room for job 5"


def test_a_more_urgent_job_takes_the_room_that_is_kept_for_another(w: World) -> None:
    w.submit(7, shape=SMALL, priority=1)
    assert w.assigned() == [7]


def test_a_job_that_becomes_more_urgent_takes_the_room_that_is_kept_for_another(w: World) -> None:
    w.submit(6, shape=SMALL, priority=1)
    assert w.assigned() == [6]


def test_a_job_that_is_as_urgent_and_younger_does_not_take_kept_room(w: World) -> None:
    w.submit(7, shape=SMALL)
    assert w.assigned() == []
    w.wait(1000)
    assert w.running() == {1, 2}


def test_room_is_not_kept_on_a_worker_that_comes_back_too_small(w: World) -> None:
    w.join("a", cpus=3, holding=[])
    assert w.core.fleet.keeper(BIG) is None


def test_a_job_goes_only_where_it_fits() -> None:
    w = World()
    w.join("small", cpus=1)
    w.submit(1, shape=Shape(cpus=4000))
    w.submit(2, shape=Shape(gpus=1))
    w.submit(3, shape=Shape(tags=frozenset({"ssd"})))
    w.submit(4, shape=Shape(platform="linux/arm64"))
    w.submit(5, shape=Shape(memory=1 << 40))
    assert w.running() == set()
    w.join("big", cpus=8, gpus=1, memory=1 << 41, tags=["ssd"], platform="linux/arm64")
    assert w.running() == {1, 2, 3, 4, 5}


def test_a_job_longer_than_a_worker_allows_waits_for_another() -> None:
    w = World()
    w.join("short", max_duration=60_000)
    w.submit(1, shape=Shape(duration=120_000))
    assert w.assigned() == []
    w.join("long", max_duration=600_000)
    assert w.assigned() == [1]


def test_jobs_without_gpus_leave_the_gpus_alone_when_they_can() -> None:
    w = World()
    w.join("gpu", cpus=4, gpus=2)
    w.join("plain", cpus=1)
    w.submit(1)
    assert w.core.jobs[job_id(1)].worker_name == "plain"


def test_the_emptier_worker_is_taken_first() -> None:
    w = World()
    w.join("a", cpus=4)
    w.join("b", cpus=4)
    for number in range(4):
        w.submit(number)
    names = [w.core.jobs[job_id(n)].worker_name for n in range(4)]
    assert sorted(names) == ["a", "a", "b", "b"]


def test_a_big_job_is_not_overtaken_for_ever() -> None:
    w = World(QueuePolicy(patience=10_000))
    w.join("w", cpus=2)
    w.submit(1)
    w.submit(2)
    w.submit(100, shape=Shape(cpus=2000))
    number = 3
    for _ in range(40):
        w.submit(number)
        w.now += 1000
        running = sorted(w.running())
        if 100 in running:
            break
        w.finish("w", running[0])
        number += 1
    assert 100 in w.running()


def test_room_is_kept_although_nothing_smaller_waits_yet() -> None:
    w = World(QueuePolicy(patience=1000))
    w.join("w", cpus=2)
    w.submit(1)
    w.submit(2)
    w.submit(100, shape=Shape(cpus=2000))
    w.now += 2000
    w.finish("w", 1)
    w.submit(3)
    assert w.assigned() == []
    w.finish("w", 2)
    assert w.assigned() == [100]


def test_room_kept_for_a_big_job_is_given_up_when_it_leaves() -> None:
    w = World(QueuePolicy(patience=1000))
    w.join("w", cpus=2)
    w.submit(1)
    w.submit(2)
    w.submit(100, shape=Shape(cpus=2000))
    w.submit(3)
    w.now += 2000
    w.finish("w", 1)
    assert w.assigned() == []
    w.cancel(100)
    assert w.assigned() == [3]
