"""Which waiting job is offered to which room, and in which order."""

from __future__ import annotations

from asman_shared.definition import Shape
from tests.support.core_world import World


def test_of_what_comes_back_at_once_the_most_urgent_is_next() -> None:
    w = World()
    w.join("lost", cpus=2)
    w.submit(1)
    w.submit(2, priority=5)
    for number in (1, 2):
        w.phase("lost", number)
    w.drain("lost")
    w.join("other", cpus=1)
    w.lose("lost")
    w.wait(30_000)
    assert w.assigned() == [2]


def test_all_that_comes_back_at_once_is_offered_whatever_the_turns() -> None:
    w = World()
    w.join("big", cpus=2)
    for number in range(10, 13):
        w.submit(number, "_")
        w.finish("big", number)
    w.submit(1, "_")
    w.submit(2, "b")
    w.join("one")
    w.join("two")
    w.submit(3, shape=Shape(cpus=2000), priority=5)
    w.lose("big")
    w.join("big", cpus=2)
    assert w.running() == {1, 2, 3}
