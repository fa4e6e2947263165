"""A worker as the queue sees it: what it has, what is in use, and what it could run."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.core.worker import Lease, Presence, Worker
from asman_shared.definition import Shape
from asman_shared.messages import Register

GIB = 2**30


def worker(*, chooses: bool = False, **has: Any) -> Worker:
    has = {"cpus": 4.0, "memory": 8 * GIB, "gpus": 1, **has}
    return Worker(1, Register(incarnation="secret-incarnation", name="w", **has), now=5, chooses=chooses)


def free(w: Worker) -> tuple[int, int, int]:
    return w.free_cpus, w.free_memory, w.free_gpus


def lease(shape: Shape, job: str = "a", *, live: bool = True) -> Lease:
    return Lease(job, 1, shape, 0, live=live)


def test_a_lease_uses_capacity_until_the_worker_has_let_go_of_it() -> None:
    w = worker()
    w.hold(lease(Shape(cpus=1500, memory=GIB, gpus=1)))
    assert free(w) == (2500, 7 * GIB, 0)
    assert w.let_go("a", 1) is not None
    assert free(w) == (4000, 8 * GIB, 1)
    assert w.let_go("a", 1) is None
    assert free(w) == (4000, 8 * GIB, 1)


def test_a_lease_whose_container_has_ended_frees_its_capacity_once() -> None:
    w = worker()
    held = lease(Shape(cpus=4000, memory=GIB))
    w.hold(held)
    w.vacate(held)
    assert free(w) == (4000, 8 * GIB, 1)
    assert ("a", 1) in w.leases
    w.let_go("a", 1)
    assert free(w) == (4000, 8 * GIB, 1)


def test_a_new_registration_leaves_in_use_what_the_leases_use() -> None:
    w = worker()
    w.hold(lease(Shape(cpus=1000, memory=GIB)))
    w.equip(Register(incarnation="secret-incarnation", name="w", cpus=2, memory=4 * GIB))
    assert free(w) == (1000, 3 * GIB, 0)


def test_only_leases_of_aborted_attempts_are_forgotten_when_the_connection_ends() -> None:
    w = worker()
    w.hold(lease(Shape(cpus=1000), "live"))
    w.hold(lease(Shape(cpus=2000), "dead", live=False))
    w.forget_dead()
    assert [job for job, _ in w.leases] == ["live"]
    assert w.free_cpus == 3000


@pytest.mark.parametrize(
    ("at_most", "beyond", "lack"),
    [
        (Shape(gpus=1), Shape(gpus=2), "gpus"),
        (Shape(cpus=4000), Shape(cpus=4001), "cpus"),
        (Shape(memory=8 * GIB), Shape(memory=8 * GIB + 1), "memory"),
        (Shape(tags=frozenset({"ssd"})), Shape(tags=frozenset({"ssd", "fast"})), "tags"),
        (Shape(platform="linux/amd64"), Shape(platform="linux/arm64"), "platform"),
        (Shape(duration=60_000), Shape(duration=60_001), "duration"),
    ],
)
def test_what_a_worker_has_is_enough_and_a_little_more_is_lacking(at_most: Shape, beyond: Shape, lack: str) -> None:
    w = worker(tags=["ssd"], platform="linux/amd64", max_duration=60_000)
    assert (w.lacks(at_most), w.fits(at_most)) == ("", True)
    assert (w.lacks(beyond), w.fits(beyond)) == (lack, False)


def test_a_worker_without_a_longest_duration_takes_jobs_of_any() -> None:
    assert worker(max_duration=0).lacks(Shape(duration=10**12)) == ""


def test_a_worker_that_chooses_judges_memory_tags_and_platform_itself_and_nothing_else() -> None:
    w = worker(chooses=True, max_duration=60_000)
    wish = Shape(memory=2**60, tags=frozenset({"none"}), platform="linux/riscv64")
    assert (w.lacks(wish), w.fits(wish)) == ("", True)
    assert w.lacks(Shape(cpus=4001)) == "cpus"
    assert w.lacks(Shape(gpus=2)) == "gpus"
    assert w.lacks(Shape(duration=60_001)) == "duration"


def test_a_full_worker_lacks_nothing_but_has_no_room() -> None:
    w = worker()
    w.hold(lease(Shape(cpus=3000, memory=8 * GIB)))
    assert (w.lacks(Shape(memory=1)), w.fits(Shape(memory=1))) == ("", False)
    assert w.fits(Shape(cpus=1000))
    assert not w.fits(Shape(cpus=1001))


def test_a_worker_that_registers_while_it_drains_is_draining() -> None:
    assert worker(draining=True).presence is Presence.DRAINING
    assert worker().presence is Presence.READY


def test_clients_see_what_is_in_use_and_never_the_whole_incarnation() -> None:
    w = worker()
    w.hold(lease(Shape(cpus=250, memory=GIB, gpus=1)))
    seen = w.wire()
    assert (seen.jobs, seen.used_cpus, seen.used_memory, seen.used_gpus) == (1, 0.25, GIB, 1)
    assert (seen.id, seen.state, seen.since) == ("secret-i", "ready", 5)
    assert "secret-incarnation" not in repr(seen)
