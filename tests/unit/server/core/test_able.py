"""How many workers could run a job, and if none, why."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.core import able as able_module
from asman_server.core import effects as fx
from asman_server.core.able import Able
from asman_server.core.worker import Lease, Presence, Worker
from asman_shared.definition import Shape
from asman_shared.messages import Register
from tests.support.core_world import World

GIB = 2**30


def test_submit_says_how_many_could_run_it_and_if_none_why() -> None:
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


def worker(name: str, **has: Any) -> Worker:
    return Worker(1, Register(incarnation=name, name=name, **{"cpus": 1.0, **has}), now=0)


def able(*workers: Worker) -> Able:
    return Able({w.incarnation: w for w in workers})


def test_workers_that_could_run_it_are_counted_however_busy_they_are() -> None:
    busy = worker("busy", cpus=2)
    busy.hold(Lease("a", 1, Shape(cpus=2000), 0))
    assert able(busy, worker("small"), worker("big", cpus=8)).count(Shape(cpus=2000)) == (2, "")


def test_without_any_worker_it_says_so() -> None:
    assert able().count(Shape()) == (0, "no worker is connected to this queue")


def test_workers_that_may_come_back_are_counted() -> None:
    workers = [worker(name) for name in ("a", "b")]
    workers[0].presence = workers[1].presence = Presence.AWAY
    assert able(*workers).count(Shape()) == (0, "no worker is connected; 2 lost the connection and may come back")


def test_a_connected_worker_that_takes_no_new_jobs_is_named_and_not_denied() -> None:
    away, closed = worker("away"), worker("vm", draining=True)
    away.presence = Presence.AWAY
    assert able(closed, away).count(Shape()) == (
        0,
        "the worker 'vm' could run it, but takes no new jobs: it is leaving, or paused (its disk is full or its engine "
        "does not answer); its log says which",
    )
    several = [worker(name, draining=True) for name in ("a", "b", "c", "d", "e")]
    assert able(*several[:2]).count(Shape())[1] == (
        "the workers 'a' and 'b' could run it, but take no new jobs: they are leaving, or paused (disk full or engine "
        "without an answer); their logs say which"
    )
    assert able(*several).count(Shape())[1].startswith("the workers 'a', 'b', 'c' and 2 more could run it, but take")


def test_closed_workers_that_could_not_run_it_either_say_what_they_lack() -> None:
    _, why = able(worker("vm", draining=True, gpus=1)).count(Shape(gpus=2))
    assert why.startswith("the worker 'vm' is connected, but takes no new jobs: it is leaving, or paused")
    assert why.endswith("; besides, the job needs 2 gpus; no worker has more than 1")


def test_what_only_a_closed_worker_has_is_not_said_to_be_had_by_no_worker() -> None:
    small, big = worker("small"), worker("big", gpus=2, draining=True)
    _, why = able(small, big).count(Shape(gpus=2))
    assert why.startswith("1 worker online, none can run it: it needs 2 gpus; the worker 'big' could run it, but")
    assert able(small, big).count(Shape(gpus=3))[1].endswith("it needs 3 gpus; no worker has more than 2")


def test_a_worker_that_is_given_up_is_not_said_to_come_back() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.lose("w")
    assert "may come back" in w.core.fleet.able.count(Shape())[1]
    w.wait(w.core.policy.grace + 1)
    assert w.core.fleet.able.count(Shape()) == (0, "no worker is connected to this queue")


@pytest.mark.parametrize(
    ("shape", "need"),
    [
        (Shape(gpus=2), "2 gpus; no worker has more than 1"),
        (Shape(cpus=8000), "8 cpus; no worker has more than 2"),
        (Shape(tags=frozenset({"ssd"})), "the tag ssd; no worker has it"),
        (Shape(cpus=2500), "2.5 cpus; no worker has more than 2"),
        (Shape(memory=3 * GIB), "of memory; no worker has more than"),
        (Shape(tags=frozenset({"b", "a"})), "the tags a, b; no worker has all of them"),
        (Shape(platform="linux/arm64"), "the platform linux/arm64; no worker has this platform"),
        (Shape(duration=120_000), "no worker allows more than"),
    ],
)
def test_what_nobody_has_is_named_with_the_most_there_is(shape: Shape, need: str) -> None:
    has = worker("w", cpus=2, memory=2 * GIB, gpus=1, platform="linux/amd64", max_duration=60_000)
    count, why = able(has).count(shape)
    assert count == 0
    assert why.startswith("1 worker online, none can run it: it needs ")
    assert need in why


def test_what_most_of_them_lack_is_named() -> None:
    short_of_memory = worker("a", cpus=8, memory=1)
    short_of_cpus = [worker(name, cpus=1, memory=8 * GIB) for name in ("b", "c")]
    _, why = able(short_of_memory, *short_of_cpus).count(Shape(cpus=4000, memory=GIB))
    assert why == "3 workers online, none can run it: it needs 4 cpus; no worker has more than 8"


def test_the_answer_is_kept_until_the_workers_change() -> None:
    workers: dict[str, Worker] = {}
    counts = Able(workers)
    assert counts.count(Shape())[0] == 0
    workers["w"] = worker("w")
    assert counts.count(Shape())[0] == 0
    counts.forget()
    assert counts.count(Shape())[0] == 1


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(able_module, "SHAPES", 3)
    counts = able(worker("w"))
    for cpus in range(1, 50):
        assert counts.count(Shape(cpus=cpus)) == (1, "")
        assert len(counts._known) <= 4


@pytest.mark.parametrize(
    ("source", "runs", "why"),
    [
        ("image", "machine", "it names an image; no worker runs containers: start one with --executor docker or oci"),
        ("build", "image", "it has an image built; no worker builds images: start one with --executor docker"),
        ("machine", "image", "it names no image; all workers run containers: give the job an image, or start a worker"),
    ],
)
def test_a_job_that_no_worker_runs_by_its_kind_says_which_worker_would(source: Any, runs: str, why: str) -> None:
    count, told = able(worker("w", sources=[runs])).count(Shape(source=source))
    assert count == 0
    assert told.startswith(f"1 worker online, none can run it: {why}")
    assert able(worker("w", sources=[source])).count(Shape(source=source)) == (1, "")
    assert able(worker("earlier")).count(Shape(source=source)) == (1, ""), "a worker that does not say what it runs"


def test_what_workers_of_the_right_kind_lack_comes_before_the_kind_of_the_others() -> None:
    others = [worker(name, sources=["machine"], gpus=1) for name in ("a", "b")]
    _, why = able(*others, worker("c", sources=["image"])).count(Shape(gpus=1))
    assert why.startswith("3 workers online, none can run it: it needs 1 gpu; ")


def test_a_job_without_a_place_is_not_given_to_a_worker_of_the_other_kind_and_waits_for_one_of_its_own() -> None:
    w = World()
    w.join("plain", cpus=4, sources=["machine"])
    w.submit(1)
    assert w.assigned() == []
    w.submit(2, shape=Shape(source="machine"))
    assert w.assigned() == [2]
    w.join("containers", sources=["image", "build"])
    assert w.assigned() == [1]
    w.submit(3, shape=Shape(source="machine"))
    assert w.core.jobs[f"{3:064x}"].worker.startswith("plain")
