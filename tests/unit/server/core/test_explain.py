"""Why a job is where it is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from asman_server.core import QueuePolicy
from asman_server.core import explain as explain_module
from asman_server.core.explain import explain
from asman_shared.definition import Shape
from asman_shared.messages import Explanation
from asman_shared.states import Fault, Phase, State
from tests.support.core_world import World, job_id


def why(world: World, number: int) -> Explanation:
    return explain(world.core, world.core.jobs[job_id(number)], world.now)


@pytest.fixture
def world() -> World:
    return World(QueuePolicy(patience=1000))


def test_without_workers_it_says_so(world: World) -> None:
    world.submit(1)
    found = why(world, 1)
    assert (found.state, found.waiting_for, found.position, found.able, found.workers) == ("Queued", "worker", 0, 0, 0)
    assert found.sentence == "no worker is connected to this queue"


@pytest.mark.parametrize(
    ("shape", "need", "words"),
    [
        (Shape(gpus=2), "gpus", "2 gpus; no worker has more than 1"),
        (Shape(cpus=9000), "cpus", "9 cpus; no worker has more than 2"),
        (Shape(memory=2**40), "memory", "1 TiB of memory; no worker has more than 1 GiB"),
        (Shape(tags=frozenset({"b", "a"})), "tags", "the tags a, b; no worker has all of them"),
        (Shape(platform="linux/arm64"), "platform", "the platform linux/arm64; no worker has this platform"),
        (Shape(duration=7_200_000), "duration", "2h; no worker allows more than 1h"),
    ],
)
def test_what_no_worker_has_is_named_with_the_most_there_is(world: World, shape: Shape, need: str, words: str) -> None:
    for name in "abc":
        world.join(name, cpus=2, memory=2**30, gpus=1, max_duration=3_600_000)
    world.submit(1, shape=shape)
    found = why(world, 1)
    assert (found.waiting_for, found.able, found.workers) == (need, 0, 3)
    assert found.sentence == f"3 workers online, none can run it: it needs {words}"


def test_beside_workers_that_are_all_draining_it_says_that_they_take_no_jobs(world: World) -> None:
    world.join("a", gpus=1, draining=True)
    world.join("b")
    world.drain("b")
    world.submit(1)
    found = why(world, 1)
    assert (found.waiting_for, found.able, found.workers) == ("worker", 0, 0)
    assert found.sentence.startswith("the workers 'a' and 'b' could run it, but take no new jobs: they are leaving, or")
    world.join("c")
    world.submit(2, shape=Shape(gpus=1))
    assert (why(world, 2).waiting_for, why(world, 2).workers) == ("worker", 1)
    assert "it needs 1 gpu; the worker 'a' could run it, but takes no new jobs" in why(world, 2).sentence


def test_busy_workers_and_the_jobs_ahead_are_counted(world: World) -> None:
    for name in "abc":
        world.join(name)
    for number in range(16):
        world.submit(number)
    assert why(world, 15).sentence == "3 workers could run it and all are busy; 12 jobs are ahead of it"
    assert why(world, 4).sentence == "3 workers could run it and all are busy; 1 job is ahead of it"
    found = why(world, 3)
    assert found.sentence == "3 workers could run it and all are busy; it is next"
    assert (found.waiting_for, found.position, found.able) == ("capacity", 0, 3)


def test_room_that_is_kept_is_said_to_both_sides(world: World) -> None:
    world.join("big", cpus=2)
    world.submit(1)
    world.submit(2, shape=Shape(cpus=2000))
    world.wait(2000)
    world.submit(3)
    world.submit(4)
    kept = why(world, 2)
    assert kept.sentence == "room is being kept for it on the worker 'big', which has 1 job to finish"
    assert kept.waiting_for == "capacity"
    assert why(world, 4).sentence == (
        "room is being kept for a job that needs more and has waited longer; 2 jobs are ahead of it"
    )


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase.ASSIGNED, "was assigned to the worker 'a', which has not started it, since 5 s"),
        (Phase.PULLING, "is on the worker 'a', which is pulling its image, since 5 s"),
        (Phase.RUNNING, "is running on the worker 'a', since 5 s"),
    ],
)
def test_a_running_job_names_its_phase_and_worker(world: World, phase: Phase, words: str) -> None:
    world.join("a")
    world.submit(1)
    world.phase("a", 1, phase)
    world.now += 5000
    found = why(world, 1)
    assert (found.state, found.phase, found.worker) == (State.RUNNING, phase, "a")
    assert (found.position, found.waiting_for) == (None, "")
    assert found.sentence == f"it {words}"


def test_a_worker_that_is_away_is_said_with_the_time_it_has_left(world: World) -> None:
    world.join("a")
    world.submit(1)
    world.phase("a", 1)
    world.lose("a")
    world.now += 10_000
    assert why(world, 1).sentence.endswith("if it is not back in 20 s, the job is queued again")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ({"kind": "exited", "exit_code": 0}, "it succeeded"),
        ({"kind": "exited", "exit_code": 3}, "its command exited with code 3"),
        ({"kind": "exited", "exit_code": 127}, "its command exited with code 127; its command was not found"),
        ({"kind": "timed_out"}, "it was stopped, because its time limit passed; give it a longer time limit"),
        ({"kind": "out_of_memory"}, "it was stopped, because it used more memory than it may; ask for more memory"),
        (
            {"kind": "error", "message": "no such image: x", "fault": Fault.JOB},
            "it could not be run: no such image: x; fix the definition",
        ),
        (
            {"kind": "error", "exit_code": 0, "message": "no room", "fault": Fault.HUB},
            "its command exited with code 0, but its result is not complete: no room; try again",
        ),
        ({"kind": "error", "message": "disk full", "fault": Fault.WORKER}, "it could not be run: disk full; try again"),
    ],
)
def test_a_finished_job_says_how_it_ended_and_what_to_do(world: World, outcome: dict[str, Any], words: str) -> None:
    world.join("a")
    world.submit(1)
    world.finish("a", 1, **outcome)
    found = why(world, 1)
    assert found.sentence.startswith(words)
    assert found.verdict is not None
    assert found.verdict.ok is (words == "it succeeded")


def test_the_position_is_the_order_in_which_jobs_are_handed_out(world: World) -> None:
    for number in range(60):
        if number % 3:
            world.submit(number)
        else:
            shape = Shape(memory=number % 5)
            world.submit(number, namespace=f"slot-{number}", shape=shape, priority=(0, 5, -5)[number % 7 % 3])
    for number in range(0, 60, 9):
        world.cancel(number, "*")
    waiting = [int(job.id, 16) for job in world.core.jobs.values() if job.state is State.QUEUED]
    expected = sorted(waiting, key=lambda number: why(world, number).position or 0)
    assert [why(world, number).position for number in expected] == list(range(len(waiting)))
    handed_out = []
    world.join("a", memory=10)
    for _ in waiting:
        (running,) = world.running()
        handed_out.append(running)
        world.finish("a", running)
    assert handed_out == expected


def test_the_position_in_fair_turns_counts_one_job_of_each_namespace_at_a_time(world: World) -> None:
    for number in range(50):
        world.submit(number)
    world.submit(100, namespace="mine")
    assert why(world, 100).position == 1
    assert why(world, 49).position == 50


def test_a_position_far_back_is_not_counted_to_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain_module, "COUNTED", 10)
    for number in range(12):
        world.submit(number)
    assert (why(world, 9).position, why(world, 9).beyond) == (9, False)
    assert (why(world, 11).position, why(world, 11).beyond) == (10, True)
    world.join("a")
    assert why(world, 11).sentence == "1 worker could run it and is busy; more than 10 jobs are ahead of it"


def test_a_look_at_a_long_queue_is_bounded(world: World) -> None:
    core = world.core
    for number in range(3000):
        world.submit(number, namespace=f"slot-{number}")
    looked = list(itertools.islice(core.ready.lines[Shape()].order(core.ready.turns), 5))
    assert [rank[2] for rank, _ in looked] == [1, 2, 3, 4, 5]
    assert (why(world, 2999).position, why(world, 2999).beyond) == (1000, True)
