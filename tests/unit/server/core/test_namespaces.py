"""Namespaces: a slot holds one job; a job that nobody holds is stopped."""

from __future__ import annotations

from asman_shared.states import State
from tests.support.core_world import World, job_id


def test_a_newer_job_in_a_namespace_replaces_the_older() -> None:
    w = World()
    w.join("w")
    w.submit(1, "doc")
    w.submit(2, "doc")
    assert w.reason(1) == "Replaced"
    assert 1 in w.aborted()
    w.release("w", 1)
    assert w.assigned() == [2]


def test_a_job_that_ran_long_gets_no_exemption() -> None:
    w = World()
    w.join("w")
    w.submit(1, "doc")
    w.phase("w", 1)
    w.wait(3_600_000)
    w.submit(2, "doc")
    assert w.reason(1) == "Replaced"


def test_the_default_namespace_holds_many() -> None:
    w = World()
    w.join("w", cpus=2)
    w.submit(1)
    w.submit(2)
    assert w.running() == {1, 2}


def test_a_job_that_another_namespace_holds_goes_on() -> None:
    w = World()
    w.join("w")
    w.submit(1, "a")
    w.submit(1, "b")
    w.submit(2, "a")
    assert w.state(1) is State.RUNNING
    assert w.core.jobs[job_id(1)].holders == ("b",)
    w.submit(3, "b")
    assert w.reason(1) == "Replaced"


def test_cancel_releases_one_namespace_and_star_all() -> None:
    w = World()
    w.join("w")
    for namespace in ("a", "b", "c"):
        w.submit(1, namespace)
    assert w.cancel(1, "a")
    assert w.state(1) is State.RUNNING
    assert not w.cancel(1, "a")
    assert w.cancel(1, "*")
    assert w.reason(1) == "Cancelled"
    assert w.core.slots == {}


def test_a_slot_is_free_once_its_job_is_finished() -> None:
    w = World()
    w.join("w")
    w.submit(1, "doc")
    w.finish("w", 1)
    w.submit(2, "doc")
    assert w.reason(1) == "Success"


def test_going_back_to_a_cached_job_releases_the_present_one() -> None:
    w = World()
    w.join("w")
    w.submit(1, "doc")
    w.finish("w", 1)
    w.submit(2, "doc")
    assert w.submit(1, "doc") == "cached"
    assert w.reason(2) == "Replaced"
