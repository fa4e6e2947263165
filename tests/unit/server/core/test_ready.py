"""The order of waiting jobs: priority, fair turns among namespaces, age."""

from __future__ import annotations

from tests.support.core_world import World, job_id


def test_many_namespaces_with_a_job_each_are_served_without_looking_at_all_of_them() -> None:
    w = World()
    turns = w.core.ready.turns
    looked = 0
    sizes = []
    for number in range(3 * turns.PRUNE):
        before = turns._next
        turns.serve(f"n{number}")
        looked += len(before) if turns._next is not before else 0
        sizes.append(len(turns._next))
    assert looked < 4 * len(sizes), "each turn looks at every namespace"
    for _ in range(3 * turns.PRUNE):
        turns.serve("one")
    for number in range(4 * turns.PRUNE):
        turns.serve(f"m{number}")
    assert len(turns._next) <= 4 * turns.PRUNE + 1, "namespaces whose turn has passed are still known"


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


def test_a_job_that_comes_back_keeps_its_age() -> None:
    w = World()
    w.join("w")
    for number in (1, 2, 3):
        w.submit(number)
    w.lose("w")
    w.wait(30_000)
    assert drain_order(w, "x") == [1, 2, 3]


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
