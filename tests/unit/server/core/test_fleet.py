"""Room kept for a job that needs much: given up at once when it leaves, and never in the way of a more urgent job."""

from __future__ import annotations

import pytest

from asman_server.core import QueuePolicy
from asman_shared.definition import Shape
from tests.support.core_world import World

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
