"""A job's way through the queue: submit, join, cache, run again, cancel, delete."""

from __future__ import annotations

import pytest

from asman_server.core import QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_shared.states import Fault, Phase, State
from tests.support.core_world import World, job_id


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


def test_a_non_zero_exit_is_cached_and_a_fault_is_not() -> None:
    w = World()
    w.join("w", cpus=2)
    w.submit(1)
    w.submit(2)
    w.finish("w", 1, code=3)
    assert w.reason(1) == "Failed"
    assert w.submit(1) == "cached"
    w.finish("w", 2, kind="error", message="no such image", fault=Fault.JOB)
    assert w.reason(2) == "Error"
    assert w.submit(2) == "queued"


@pytest.mark.parametrize("kind", ["timed_out", "out_of_memory", "error"])
def test_a_failure_of_the_run_is_never_cached_like_a_result(kind: str) -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1, kind=kind, message="x")
    assert w.submit(1) == "queued"
    assert w.assigned() == [1]


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
    assert w.submit(1) == "cached"
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


def test_a_result_that_comes_after_the_cancel_changes_nothing() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.cancel(1)
    assert not w.finish("w", 1)
    assert w.reason(1) == "Cancelled"


def test_cancel_of_what_is_unknown_is_an_answer() -> None:
    w = World()
    w.send(ev.CancelRequested(job_id(9), reply_to="me"))
    (refused,) = w.effects(fx.Refused)
    assert refused.code == "not_found"
    assert refused.reply_to == "me"


def test_delete_stops_and_forgets() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.delete(1)
    assert w.aborted() == [1]
    assert job_id(1) not in w.core.jobs
    assert w.effects(fx.Forget)
    w.release("w", 1, attempt=1)
    assert w.submit(1) == "queued"


def test_phases_are_kept_and_only_of_the_live_attempt() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.phase("w", 1, Phase.RUNNING)
    job = w.core.jobs[job_id(1)]
    assert job.phase is Phase.RUNNING
    assert job.ran == w.now
    w.phase("w", 1, Phase.UPLOADING, attempt=7)
    assert w.aborted() == [1]
    assert job.phase is Phase.RUNNING


def test_the_queue_limit_ends_a_job_that_waits_too_long() -> None:
    w = World()
    w.submit(1, queue_limit=5000)
    w.wait(4000)
    assert w.state(1) is State.QUEUED
    w.wait(1500)
    assert w.reason(1) == "TimedOut"


def test_a_run_far_past_its_limit_is_ended_by_the_hub() -> None:
    w = World()
    w.join("w")
    w.submit(1, run_limit=1000)
    w.phase("w", 1)
    w.wait(30_000)
    assert w.state(1) is State.RUNNING
    w.wait(60_000)
    assert w.reason(1) == "TimedOut"
    assert w.aborted() == [1]


def test_finished_jobs_leave_memory_and_can_be_recalled() -> None:
    w = World(QueuePolicy(finished_kept=2))
    w.join("w")
    for number in range(5):
        w.submit(number)
        w.finish("w", number)
    assert not w.core.complete
    assert sorted(w.core.jobs) == [job_id(3), job_id(4)]
    assert w.core.finished == 5
    from asman_server.core.job import Job
    from asman_shared.messages import Summary, Verdict
    from asman_shared.states import Reason

    old = Job(id=job_id(0), number=1, summary=Summary(), state=State.FINISHED, holders=("_",))
    old.verdict = Verdict(ok=True, reason=Reason.SUCCESS)
    w.send(ev.Recalled(old))
    assert w.submit(0) == "cached"


def test_jobs_past_their_retention_are_forgotten() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1)
    w.now += w.core.policy.retention - 1
    w.send(ev.Due([job_id(1)]))
    assert w.state(1) is State.FINISHED
    w.now += 1
    w.send(ev.Due([job_id(1)]))
    assert job_id(1) not in w.core.jobs
    assert w.core.finished == 0


def test_a_job_in_the_store_alone_reaches_the_end_of_its_retention_too() -> None:
    w = World(QueuePolicy(finished_kept=1))
    w.join("w")
    w.submit(1)
    w.finish("w", 1)
    old = w.core.jobs[job_id(1)]
    w.submit(2)
    w.finish("w", 2)
    assert job_id(1) not in w.core.jobs
    w.now += w.core.policy.retention
    w.send(ev.Due([job_id(1)], [old]))
    assert [effect.job.id for effect in w.effects(fx.Forget)] == [job_id(1)]
    assert w.core.finished == 1


def test_a_queue_may_keep_its_jobs_for_another_time_than_the_hub() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1)
    w.send(ev.Configured(5000, "me"))
    (saved,) = w.effects(fx.SaveSettings)
    assert (saved.reply_to, saved.own, saved.retention) == ("me", 5000, 5000)
    assert w.core.due(w.core.jobs[job_id(1)]) == w.now + 5000
    w.send(ev.Configured(0, "me"))
    (saved,) = w.effects(fx.SaveSettings)
    assert (saved.own, saved.retention) == (0, w.core.policy.retention)


def test_nothing_is_forgotten_that_goes_on() -> None:
    w = World()
    w.submit(1)
    w.submit(2, queue_limit=10_000)
    assert w.core.due(w.core.jobs[job_id(1)]) == 0
    assert w.core.due(w.core.jobs[job_id(2)]) == w.now + 10_000
    w.now += 10**12
    w.send(ev.Due([job_id(1), job_id(2), job_id(3)]))
    assert w.state(1) is State.QUEUED
    assert w.reason(2) == "TimedOut"


def test_a_phase_far_past_the_limit_that_the_job_gave_it_is_ended_by_the_hub() -> None:
    w = World()
    w.join("w")
    w.submit(1, phase_limits={Phase.PULLING: 1000})
    w.phase("w", 1, Phase.STAGING)
    w.wait(3_600_000)
    w.phase("w", 1, Phase.PULLING)
    w.wait(60_000)
    assert w.state(1) is State.RUNNING
    w.wait(1000)
    assert w.reason(1) == "TimedOut"
    assert "phase pulling" in w.core.jobs[job_id(1)].verdict.message  # type: ignore[union-attr]
    assert w.aborted() == [1]


def test_the_limit_of_the_run_does_not_count_the_upload_after_it() -> None:
    w = World()
    w.join("w")
    w.submit(1, run_limit=1000)
    w.phase("w", 1, Phase.RUNNING)
    w.phase("w", 1, Phase.UPLOADING)
    w.wait(3_600_000)
    assert w.finish("w", 1)


def test_a_finished_job_that_runs_again_may_not_leave_memory_before_that_is_durable() -> None:
    w = World(QueuePolicy(finished_kept=1))
    w.submit(1, "a")
    w.submit(2, "a")
    w.send(ev.Settled(job_id(1), w.core.jobs[job_id(1)].rev))
    w.submit(1, "a")
    w.submit(3, "a")
    assert w.reason(1) == "Replaced"
    w.send(ev.Settled(job_id(2), w.core.jobs[job_id(2)].rev))
    assert job_id(1) in w.core.jobs
