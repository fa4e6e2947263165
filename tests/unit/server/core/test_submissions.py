"""Submissions: runs begun, joined or answered from the cache, and the namespaces that hold a job."""

from __future__ import annotations

import pytest

from asman_server.core import Job, QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.core.job_state import runs_of, state_of
from asman_shared import limits
from asman_shared.definition import Shape
from asman_shared.messages import Summary
from asman_shared.states import Fault, State
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


def test_runs_that_begin_in_the_same_millisecond_have_different_times() -> None:
    w = World()
    w.submit(1, "a")
    first = w.core.jobs[job_id(1)].queued
    w.submit(2, "a")
    assert w.reason(1) == "Replaced"
    w.submit(1, "a")
    assert w.core.jobs[job_id(1)].queued > first
    assert w.core.jobs[job_id(1)].queued <= w.now + 1


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


def test_namespaces_that_hold_one_job_have_a_bound() -> None:
    w = World()
    for number in range(limits.NAMESPACES_PER_JOB):
        w.submit(1, f"n{number}")
    w.send(ev.Submitted(job_id(1), Shape(), Summary(), reply_to="x", namespace="one-more"))
    (refused,) = w.effects(fx.Refused)
    assert (refused.reply_to, refused.code) == ("x", "too_large")
    assert w.submit(1, "n7") == "joined"
    w.join("w")
    w.finish("w", 1)
    assert w.submit(1, "one-more") == "cached"
    assert len(w.core.jobs[job_id(1)].holders) == limits.NAMESPACES_PER_JOB
    assert w.submit(1, "one-more", reuse="never") == "queued"


def test_the_same_definition_twice_runs_once() -> None:
    w = World()
    w.join("w")
    assert w.submit(1) == "queued"
    assert w.assigned() == [1]
    assert w.submit(1) == "joined"
    assert w.assigned() == []
    assert w.finish("w", 1)
    assert w.submit(1) == "cached"
    assert w.assigned() == []


def test_a_failure_runs_again_by_default_and_answers_whoever_takes_any_result() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1, code=3)
    assert w.reason(1) == "Failed"
    assert w.submit(1, reuse="any") == "cached"
    assert w.submit(1) == "queued"
    (answer,) = w.effects(fx.SubmitAnswer)
    assert (answer.earlier.reason.value, answer.earlier.exit_code) == ("Failed", 3)
    w.finish("w", 1)
    assert w.submit(1) == w.submit(1, reuse="any") == "cached"
    assert w.submit(1, reuse="never") == "queued"


@pytest.mark.parametrize("reuse", ["success", "any"])
@pytest.mark.parametrize("kind", ["timed_out", "out_of_memory", "error"])
def test_a_run_without_an_exit_code_answers_nobody(kind: str, reuse: str) -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1, kind=kind, message="x", fault=Fault.JOB)
    assert w.submit(1, reuse=reuse) == "queued"
    assert w.assigned() == [1]


@pytest.mark.parametrize("reuse", ["success", "any", "never"])
def test_whoever_submits_while_the_job_runs_joins_that_run(reuse: str) -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1, code=3)
    assert w.submit(1) == "queued"
    assert w.submit(1, "other", reuse=reuse) == "joined"
    w.cancel(1)
    assert w.state(1) is State.RUNNING
    w.finish("w", 1)
    assert w.reason(1) == "Success"


def test_after_a_cancelled_run_over_a_failure_only_any_takes_the_failure() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1, code=3)
    w.submit(1)
    w.cancel(1)
    w.release("w", 1)
    assert w.reason(1) == "Cancelled"
    assert w.submit(1, reuse="any") == "cached"
    assert w.reason(1) == "Failed"
    assert w.submit(1) == "queued"


def test_a_later_run_that_a_worker_ended_outdates_a_failure_but_not_a_success() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1, code=3)
    w.submit(1)
    w.finish("w", 1, kind="timed_out", message="x")
    assert w.effects(fx.StoreResult)
    assert w.submit(1, reuse="any") == "queued"
    w.finish("w", 1)
    w.submit(1, reuse="never")
    w.finish("w", 1, kind="timed_out", message="x")
    assert not w.effects(fx.StoreResult)
    assert w.submit(1) == "cached"
    assert w.reason(1) == "Success"


def test_a_forced_run_that_fails_takes_the_place_of_the_success() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1)
    w.submit(1, reuse="never")
    w.finish("w", 1, code=5)
    assert w.submit(1) == "queued"


def test_a_run_that_never_found_a_worker_leaves_the_failure_to_any() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1, code=3)
    w.drain("w")
    w.submit(1, queue_limit=1000)
    w.wait(2000)
    w.send(ev.Tick())
    assert w.reason(1) == "TimedOut"
    assert w.submit(1, reuse="any") == "cached"
    assert w.reason(1) == "Failed"


def test_ended_runs_stay_readable_with_their_logs_up_to_a_number_and_a_size() -> None:
    w = World(QueuePolicy(log_bytes=100))
    w.join("w")
    for run in range(limits.RUNS_KEPT + 3):
        w.submit(1)
        job = w.core.jobs[job_id(1)]
        job.log_next += 10
        job.log_bytes = 40
        w.finish("w", 1, code=run + 1)
    runs = runs_of(w.core.jobs[job_id(1)])
    assert [run.number for run in runs] == list(range(3, limits.RUNS_KEPT + 4))
    assert [run.exit_code for run in runs] == list(range(3, limits.RUNS_KEPT + 4))
    assert [run.number for run in runs if run.log_kept] == [21, 22, 23]
    assert [run.present for run in runs[-2:]] == [False, True]
    assert (runs[-2].log_start, runs[-2].lines) == (210, 220)
    assert state_of(w.core.jobs[job_id(1)]).run == 23


def test_the_log_of_the_newest_ended_run_is_kept_whatever_its_size() -> None:
    w = World(QueuePolicy(log_bytes=100))
    w.join("w")
    w.submit(1)
    job = w.core.jobs[job_id(1)]
    job.log_next, job.log_bytes = 10, 500
    w.finish("w", 1, code=1)
    w.submit(1)
    assert w.effects(fx.BeginRun)[0].kept == 0
    assert [run.log_kept for run in runs_of(job)] == [True, True]


def test_a_cancelled_run_over_a_success_is_among_the_runs() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1)
    w.submit(1, reuse="never")
    w.cancel(1)
    w.release("w", 1)
    assert w.submit(1) == "cached"
    job = w.core.jobs[job_id(1)]
    assert [(run.reason, run.present) for run in runs_of(job)] == [("Success", True), ("Cancelled", False)]
    w.submit(1, reuse="never")
    assert [run.reason for run in runs_of(job)] == ["Success", "Cancelled", None]
    assert Job.unpack(job.pack()).runs == job.runs


def test_attempts_only_grow_even_over_runs() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1, kind="timed_out", message="x")
    w.submit(1)
    assert w.core.jobs[job_id(1)].attempt == 2


def test_reuse_never_runs_again_and_replaces_the_cached_result_only_if_it_finishes() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1)
    assert w.submit(1, reuse="never") == "queued"
    w.cancel(1)
    w.release("w", 1)
    assert w.reason(1) == "Cancelled"
    assert w.submit(1) == "cached"
    assert w.reason(1) == "Success"
    assert w.submit(1, reuse="never") == "queued"
    w.finish("w", 1, kind="error", message="broken")
    assert not w.effects(fx.StoreResult)
    assert w.submit(1) == "cached"
    assert w.submit(1, reuse="never") == "queued"
    w.finish("w", 1, code=5)
    assert w.submit(1, reuse="any") == "cached"
    assert w.reason(1) == "Failed"


def test_cancel_of_a_queued_job_needs_no_worker() -> None:
    w = World()
    w.submit(1)
    assert w.cancel(1)
    assert w.reason(1) == "Cancelled"
    assert not w.cancel(1)
    w.join("w")
    assert w.assigned() == []


def test_cancel_of_a_running_job_aborts_it_and_keeps_its_room_until_it_is_gone() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.submit(2)
    assert w.cancel(1)
    assert w.aborted() == [1]
    assert w.assigned() == []
    w.release("w", 1)
    assert w.assigned() == [2]
