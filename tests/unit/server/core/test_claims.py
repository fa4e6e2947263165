"""Workers that choose their jobs themselves: a claim is granted once, and only to one that can run the job."""

from __future__ import annotations

from typing import Any

from asman_server.core import effects as fx
from asman_server.core.explain import explain, position
from asman_shared.definition import Shape
from asman_shared.messages import Held
from asman_shared.states import Phase, State
from tests.support.core_world import World, job_id


def chooser(w: World, name: str = "c", cpus: float = 1, **more: Any) -> None:
    w.join(name, cpus, chooses=True, **more)


def test_a_worker_that_chooses_is_handed_nothing() -> None:
    w = World()
    chooser(w, cpus=4)
    w.submit(1)
    w.wait(1_000)
    assert w.state(1) is State.QUEUED
    assert w.core.fleet.able.count(Shape()) == (1, "")
    said = explain(w.core, w.core.jobs[job_id(1)], w.now).sentence
    assert said == "the workers that have room for it choose their jobs themselves; it is next"


def test_the_first_claim_gets_the_job_and_the_second_is_told_why_not() -> None:
    w = World()
    w.submit(1)
    chooser(w, "a")
    chooser(w, "b")
    assert w.claim("a", 1) == ""
    assert (w.assigned(), w.core.jobs[job_id(1)].attempt) == ([1], 1)
    assert w.claim("b", 1) == "another worker has it"
    assert w.finish("a", 1)
    assert w.claim("b", 1) == "it is finished"
    assert w.claim("b", 9) == "this queue has no such job"


def test_a_claim_of_what_the_worker_has_changes_nothing() -> None:
    w = World()
    w.submit(1)
    chooser(w)
    w.claim("c", 1)
    assert w.claim("c", 1) == ""
    assert w.last == []


def test_a_claim_respects_what_the_job_needs_and_what_the_worker_has_free() -> None:
    w = World()
    chooser(w, cpus=2, max_duration=60_000)
    w.submit(1, shape=Shape(gpus=1))
    w.submit(2, shape=Shape(cpus=2000))
    w.submit(3)
    w.submit(4, shape=Shape(duration=90_000))
    w.submit(5, shape=Shape(memory=2**40, tags=frozenset({"ssd"}), platform="linux/arm64", cpus=500))
    assert w.claim("c", 1) == "it needs more gpus than this worker has"
    assert w.claim("c", 4) == "it needs more duration than this worker has"
    assert w.claim("c", 3) == ""
    assert w.claim("c", 2) == "this worker has no room for it now"
    assert w.claim("c", 5) == "", "memory, tags and platform are for the worker to judge"
    w.drain("c")
    assert w.claim("c", 2) == "this worker accepts no more jobs"


def test_a_worker_that_is_handed_its_jobs_can_not_claim_any() -> None:
    w = World()
    w.submit(1, shape=Shape(gpus=1))
    w.join("w")
    assert w.claim("w", 1) == "this hub assigns this worker its jobs; it can't claim them"


def test_a_job_chosen_from_the_middle_comes_back_to_its_place_and_is_there_once() -> None:
    w = World()
    for number in range(1, 6):
        w.submit(number)
    chooser(w)
    for _ in range(3):
        assert w.claim("c", 3) == ""
        w.release("c", 3)
    ready = w.core.ready
    order = [int(job.id, 16) for line in ready.lines.values() for _, job in line.order(ready.turns)]
    assert order == [1, 2, 3, 4, 5]
    assert position(ready, w.core.jobs[job_id(3)]) == (2, False)
    w.join("w", cpus=5)
    assert w.assigned() == [1, 2, 3, 4, 5]


def test_choosing_the_newest_again_and_again_leaves_nothing_behind() -> None:
    w = World()
    chooser(w)
    w.submit(0)
    for number in range(1, 1_000):
        w.submit(number)
        assert w.claim("c", number) == ""
        assert w.finish("c", number)
    (line,) = w.core.ready.lines.values()
    assert sum(1 for _ in line.order(w.core.ready.turns)) < 100


def test_a_choosing_worker_has_attempts_grace_and_limits_like_any_other() -> None:
    w = World()
    chooser(w)
    w.submit(1, run_limit=10_000, max_attempts=2)
    w.claim("c", 1)
    w.phase("c", 1)
    w.lose("c")
    w.wait(29_000)
    chooser(w, holding=[Held(job_id(1), 1, Phase.RUNNING)])
    assert w.state(1) is State.RUNNING
    w.lose("c")
    w.wait(30_000)
    assert (w.state(1), w.core.jobs[job_id(1)].losses) == (State.QUEUED, 1)
    chooser(w)
    w.claim("c", 1)
    w.phase("c", 1)
    w.wait(70_000)
    assert w.reason(1) == "TimedOut"
    assert w.aborted() == [1]


def test_an_attempt_that_its_worker_gave_up_costs_one() -> None:
    w = World()
    chooser(w)
    w.submit(1, max_attempts=2)
    for _ in range(2):
        w.claim("c", 1)
        w.release("c", 1, lost=True)
    assert w.reason(1) == "WorkerLost"


def test_an_attempt_that_prepares_again_does_not_use_up_the_time_it_may_run() -> None:
    w = World()
    chooser(w)
    w.submit(1, run_limit=10_000)
    w.claim("c", 1)
    w.phase("c", 1)
    w.phase("c", 1, Phase.BUILDING)
    w.wait(600_000)
    assert w.state(1) is State.RUNNING
    w.phase("c", 1)
    w.wait(70_000)
    assert w.reason(1) == "TimedOut"


def test_a_late_result_is_not_taken_from_a_worker_that_lost_the_job() -> None:
    w = World()
    w.submit(1)
    chooser(w, "a")
    chooser(w, "b")
    w.claim("a", 1)
    w.phase("a", 1)
    w.lose("a")
    w.wait(30_000)
    w.claim("b", 1)
    chooser(w, "a")
    assert not w.finish("a", 1, attempt=1)
    assert not w.finish("a", 1, attempt=2)
    assert w.finish("b", 1)
    assert w.effects(fx.Abort) == []
