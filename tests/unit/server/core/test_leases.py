"""Leases: lost workers, reconnects, fencing, drain."""

from __future__ import annotations

from asman_server.core import effects as fx
from asman_shared.messages import Held
from asman_shared.states import Phase, State
from tests.support.core_world import World, job_id


def held(number: int, attempt: int = 1, **more: bool) -> Held:
    return Held(job_id(number), attempt, Phase.RUNNING, **more)


def test_a_worker_that_comes_back_within_its_grace_keeps_its_containers() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.lose("w")
    w.wait(29_000)
    assert w.state(1) is State.RUNNING
    resumed = w.join("w", holding=[held(1)])
    assert [k.job for k in resumed.keep] == [job_id(1)]
    assert resumed.abort == []
    assert w.finish("w", 1)
    assert w.core.jobs[job_id(1)].attempt == 1


def test_a_lost_worker_costs_one_attempt() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.lose("w")
    w.join("x")
    w.wait(30_000)
    assert w.assigned() == [1]
    job = w.core.jobs[job_id(1)]
    assert (job.attempt, job.losses) == (2, 1)


def test_the_late_worker_is_told_to_stop_and_its_result_is_not_taken() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.lose("w")
    w.join("x")
    w.wait(30_000)
    resumed = w.join("w", holding=[held(1, done=True)])
    assert [h.job for h in resumed.abort] == [job_id(1)]
    assert not w.finish("w", 1, attempt=1)
    assert w.finish("x", 1)


def test_a_job_that_kills_its_workers_can_not_loop() -> None:
    w = World()
    w.submit(1)
    for name in ("a", "b", "c"):
        w.join(name)
        assert w.assigned() == [1]
        w.phase(name, 1)
        w.lose(name)
        w.wait(30_000)
    assert w.reason(1) == "WorkerLost"
    w.join("d")
    assert w.assigned() == []


def test_an_assignment_that_was_lost_on_the_way_is_queued_again_free_of_charge() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.lose("w")
    w.join("w", holding=[])
    assert w.assigned() == [1]
    job = w.core.jobs[job_id(1)]
    assert (job.attempt, job.losses) == (2, 0)


def test_a_worker_that_came_back_without_what_it_ran_costs_an_attempt() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.join("w", holding=[])
    assert w.core.jobs[job_id(1)].losses == 1
    assert w.assigned() == [1]


def test_an_assignment_that_nothing_is_heard_of_is_taken_back() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.wait(59_000)
    assert w.state(1) is State.RUNNING
    w.wait(2000)
    assert w.aborted() == [1]
    assert w.core.jobs[job_id(1)].losses == 1


def test_a_job_may_run_for_days_on_a_worker_that_is_there() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    for phase in (Phase.STAGING, Phase.PULLING, Phase.RUNNING, Phase.UPLOADING):
        w.phase("w", 1, phase)
        for _ in range(24):
            w.wait(3_600_000)
    assert w.aborted() == []
    assert w.core.jobs[job_id(1)].attempt == 1
    assert w.finish("w", 1)


def test_a_new_process_on_the_same_host_inherits_nothing() -> None:
    w = World()
    w.join("host-1")
    w.submit(1)
    w.lose("host-1")
    w.join("host-2", cpus=0.5)
    assert w.state(1) is State.RUNNING
    assert w.core.jobs[job_id(1)].worker.startswith("host-1")


def test_the_end_of_an_old_connection_does_not_harm_the_new_one() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    old = w.sessions["w"]
    w.join("w", holding=[held(1)])
    new, w.sessions["w"] = w.sessions["w"], old
    w.lose("w")
    assert w.state(1) is State.RUNNING
    w.sessions["w"] = new
    assert w.finish("w", 1)


def test_two_workers_never_both_have_their_result_accepted() -> None:
    w = World()
    w.join("a")
    w.submit(1)
    w.phase("a", 1)
    w.lose("a")
    w.join("b")
    w.wait(30_000)
    assert w.finish("b", 1)
    w.join("a", holding=[held(1, done=True)])
    assert not w.finish("a", 1, attempt=1)
    assert sum(isinstance(e, fx.StoreResult) for e in w.last) == 0


def test_a_drain_is_free_of_charge() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.drain("w")
    w.submit(2)
    assert w.assigned() == []
    w.release("w", 1)
    assert w.state(1) is State.QUEUED
    w.lose("w")
    w.join("x", cpus=2)
    assert set(w.assigned()) == {1, 2}
    assert w.core.jobs[job_id(1)].losses == 0


def test_a_draining_worker_that_is_cut_off_has_its_grace_and_costs_nothing() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.drain("w")
    w.join("x")
    w.lose("w")
    assert w.assigned() == []
    w.wait(30_000)
    assert w.assigned() == [1]
    assert w.core.jobs[job_id(1)].losses == 0


def test_a_worker_that_lies_about_attempts_gains_nothing() -> None:
    w = World()
    w.join("w")
    w.join("liar")
    w.submit(1)
    owner = w.core.jobs[job_id(1)].worker.rstrip(".")
    other = "liar" if owner == "w" else "w"
    assert not w.finish(other, 1)
    assert not w.finish(owner, 1, attempt=2)
    resumed = w.join(other, holding=[held(1), held(77, 3)])
    assert len(resumed.abort) == 2
    assert w.state(1) is State.RUNNING


def test_restore_gives_running_jobs_to_their_workers_for_the_grace() -> None:
    before = World()
    before.join("w")
    before.submit(1)
    before.phase("w", 1)
    before.submit(2)
    jobs = list(before.core.jobs.values())
    after = World()
    after.core.restore(jobs, after.now, finished=0, number=2)
    assert after.state(1) is State.RUNNING
    resumed = after.join("w", holding=[held(1)])
    assert [k.job for k in resumed.keep] == [job_id(1)]
    assert after.finish("w", 1)
    assert after.assigned() == [2]


def test_restore_requeues_when_the_worker_does_not_come_back() -> None:
    before = World()
    before.join("w")
    before.submit(1)
    before.phase("w", 1)
    after = World()
    after.core.restore(list(before.core.jobs.values()), after.now, finished=0, number=1)
    after.join("x")
    assert after.assigned() == []
    after.wait(30_000)
    assert after.assigned() == [1]
