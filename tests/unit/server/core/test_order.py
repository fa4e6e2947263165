"""Who is next, and where: priority, fair turns, age, fit, and no starvation."""

from __future__ import annotations

from asman_server.core import QueuePolicy
from asman_shared.definition import Shape
from tests.support.core_world import World, job_id


def drain_order(w: World, name: str = "w") -> list[int]:
    """The order in which one worker with room for one job is given what waits."""
    order: list[int] = []
    w.join(name)
    while taken := w.assigned():
        order += taken
        w.finish(name, taken[0])
    return order


def test_first_come_first_served() -> None:
    w = World()
    for number in (3, 1, 2):
        w.submit(number)
    assert drain_order(w) == [3, 1, 2]


def test_priority_before_age() -> None:
    w = World()
    w.submit(1)
    w.submit(2, priority=5)
    w.submit(3, priority=-5)
    w.submit(4, priority=5)
    assert drain_order(w) == [2, 4, 1, 3]


def test_joining_with_a_higher_priority_makes_the_job_more_urgent() -> None:
    w = World()
    w.submit(1)
    w.submit(2)
    w.submit(2, priority=1)
    assert drain_order(w) == [2, 1]


def test_fair_turns_among_namespaces() -> None:
    w = World()
    for number in range(1, 7):
        w.submit(number)
    w.submit(10, "alice")
    w.submit(11, "bob")
    assert set(drain_order(w)[:3]) == {1, 10, 11}


def test_a_namespace_that_comes_back_can_not_have_saved_turns_up() -> None:
    w = World()
    w.join("w")
    for number in range(1, 20):
        w.submit(number)
        w.finish("w", number)
    for number in range(20, 24):
        w.submit(number)
    w.submit(30, "new")
    w.finish("w", 20)
    taken = [*w.assigned()]
    w.finish("w", taken[0])
    taken += w.assigned()
    assert 30 in taken


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


def test_a_job_that_comes_back_keeps_its_age() -> None:
    w = World()
    w.join("w")
    for number in (1, 2, 3):
        w.submit(number)
    w.lose("w")
    w.wait(30_000)
    assert drain_order(w, "x") == [1, 2, 3]


def test_submit_says_how_many_could_run_it_and_if_none_why() -> None:
    from asman_server.core import effects as fx

    w = World()
    w.submit(1)
    (answer,) = w.effects(fx.SubmitAnswer)
    assert (answer.able, answer.why) == (0, "no worker is connected to this queue")
    w.join("w", cpus=2)
    w.submit(2, shape=Shape(gpus=2))
    (answer,) = w.effects(fx.SubmitAnswer)
    assert answer.able == 0
    assert answer.why == "1 worker online, none can run it: it needs 2 gpus; no worker has more than 0"
    w.submit(3)
    (answer,) = w.effects(fx.SubmitAnswer)
    assert (answer.able, answer.why) == (1, "")
    w.lose("w")
    w.submit(4)
    (answer,) = w.effects(fx.SubmitAnswer)
    assert "1 lost the connection and may come back" in answer.why


def test_many_lanes_and_cancels_leave_nothing_behind() -> None:
    w = World()
    for number in range(300):
        w.submit(number, f"n{number % 50}" if number % 3 else "_")
    for number in range(300):
        if not w.core.jobs[job_id(number)].state.over:
            w.cancel(number, "*")
    assert w.core.ready.waiting == 0
    assert w.core.ready.lines == {}
    assert w.core.slots == {}


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
