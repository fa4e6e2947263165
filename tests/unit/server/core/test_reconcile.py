"""Reconciliation: what a worker reports when it comes back, against what the hub knows."""

from __future__ import annotations

from asman_server.core import events as ev
from asman_server.core.reconcile import AHEAD
from asman_shared.messages import Held, Outcome
from asman_shared.states import Phase, State
from tests.support.core_world import World, job_id


def test_a_made_up_attempt_number_does_not_use_up_those_of_later_attempts() -> None:
    w = World()
    w.submit(1)
    for claimed in (2**53 - 1, AHEAD + 1):
        w.join("liar", draining=True, holding=[Held(job_id(1), claimed, Phase.RUNNING)])
    w.join("w")
    assert w.assigned() == [1]
    assert w.core.jobs[job_id(1)].attempt == 1


def test_what_a_worker_made_up_goes_with_its_connection() -> None:
    w = World()
    w.join("liar", holding=[Held(job_id(n), 1, Phase.RUNNING) for n in range(100)])
    assert len(w.core.workers["liar".ljust(16, ".")].leases) == 100
    w.lose("liar")
    assert w.core.workers == {}


def test_what_was_to_be_stopped_keeps_its_room_when_its_worker_comes_back_with_it() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.cancel(1)
    w.lose("w")
    resumed = w.join("w", holding=[Held(job_id(1), 1, Phase.RUNNING)])
    assert [held.job for held in resumed.abort] == [job_id(1)]
    w.submit(2)
    assert w.assigned() == []
    w.release("w", 1)
    assert w.assigned() == [2]


def test_an_attempt_from_a_lost_commit_is_not_given_out_again() -> None:
    w = World()
    w.submit(1)
    w.join("was-there", draining=True, holding=[Held(job_id(1), 3, Phase.RUNNING)])
    w.join("w")
    assert w.core.jobs[job_id(1)].attempt == 4


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


def test_an_outcome_that_is_not_durable_yet_stays_with_its_worker() -> None:
    """If the hub is killed now, nobody else has it."""
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.send(ev.AttemptFinished("w".ljust(16, "."), job_id(1), 1, Outcome(kind="exited", exit_code=0)))
    w.lose("w")
    resumed = w.join("w", holding=[held(1, done=True)])
    assert ([kept.job for kept in resumed.keep], resumed.abort) == ([job_id(1)], [])
    w.submit(2)
    assert w.assigned() == [2], "it takes no room"


def test_an_outcome_that_is_durable_is_forgotten_by_its_worker() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    assert w.finish("w", 1)
    resumed = w.join("w", holding=[held(1, done=True)])
    assert (resumed.keep, [given.job for given in resumed.abort]) == ([], [job_id(1)])


def test_an_unfinished_attempt_of_a_job_that_has_ended_is_stopped_at_once() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1)
    w.cancel(1)
    w.lose("w")
    resumed = w.join("w", holding=[held(1)])
    assert (resumed.keep, [given.job for given in resumed.abort]) == ([], [job_id(1)])
