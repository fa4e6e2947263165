"""Ends of runs and jobs: verdicts, lost workers, limits that have passed, and the end of the retention."""

from __future__ import annotations

import pytest

from asman_server.core import Job, QueueCore, QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.core import state as state_module
from asman_server.core.explain import explain
from asman_server.core.job_state import state_of
from asman_shared.messages import Held, Outcome, Summary
from asman_shared.states import Fault, Phase, Reason, State
from tests.support.core_world import World, job_id


def test_what_a_job_may_wait_is_not_used_up_by_the_time_it_ran() -> None:
    w = World()
    w.join("w")
    w.submit(1, queue_limit=10_000)
    w.phase("w", 1)
    w.wait(60_000)
    w.lose("w")
    w.wait(30_000)
    assert w.state(1) is State.QUEUED, "it has waited for no time yet"
    w.wait(9_000)
    assert w.state(1) is State.QUEUED
    w.wait(1_000)
    assert w.reason(1) == "TimedOut"
    assert not w.core.busy, "no timer is left that nobody needs"


def test_a_result_that_comes_after_the_cancel_changes_nothing() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.cancel(1)
    assert not w.finish("w", 1)
    assert w.reason(1) == "Cancelled"


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


def test_a_job_that_is_deleted_and_submitted_again_at_once_is_a_later_one() -> None:
    w = World()
    w.submit(1)
    before = w.core.jobs[job_id(1)].queued
    w.delete(1)
    w.submit(1)
    again = w.core.jobs[job_id(1)]
    assert (again.queued, again.rev) == (before + 1, 1)


def test_what_a_worker_says_late_of_a_deleted_job_does_not_touch_a_new_one_with_its_id() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.delete(1)
    w.phase("w", 1, attempt=1)
    assert w.aborted() == [1], "it is told a second time, and so answers twice"
    w.submit(1)
    w.release("w", 1, attempt=1)
    assert w.assigned() == [1]
    assert w.core.jobs[job_id(1)].attempt == 2
    w.release("w", 1, attempt=1)
    assert w.running() == {1}
    assert not w.finish("w", 1, attempt=1)
    assert w.state(1) is State.RUNNING


def test_what_a_worker_brings_back_of_an_unknown_job_does_not_touch_a_new_one_with_its_id() -> None:
    w = World()
    w.join("w", holding=[Held(job_id(1), 3)])
    w.release("w", 1, attempt=3)
    w.submit(1)
    assert w.core.jobs[job_id(1)].attempt == 4
    w.release("w", 1, attempt=3)
    assert w.running() == {1}


def test_the_attempts_of_removed_jobs_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "REMOVED_KEPT", 3)
    w = World()
    w.join("w", cpus=10)
    for number in range(1, 6):
        w.submit(number)
        w.delete(number)
    assert list(w.core.state.removed) == [job_id(3), job_id(4), job_id(5)]
    w.submit(4)
    assert list(w.core.state.removed) == [job_id(3), job_id(5)], "the new job remembers it from now on"


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


# ------------------------------------------------------------------------------------------- what can't be stored


def _not_stored(w: World, number: int, *, ended: bool, whole: bool = False) -> None:
    job = w.core.jobs[job_id(number)]
    w.send(ev.NotStored(job.id, job.queued, job.rev, ended, "the text holds a NUL", whole))


def _report(w: World, name: str, number: int) -> None:
    """A worker reports a result, which is not durable yet."""
    w.send(ev.AttemptFinished(name.ljust(16, "."), job_id(number), 1, Outcome(kind="exited", exit_code=0)))


def test_a_result_that_cant_be_stored_becomes_an_error_of_the_hub() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    _report(w, "w", 1)
    _not_stored(w, 1, ended=True)
    verdict = w.core.jobs[job_id(1)].verdict
    assert verdict is not None
    assert (verdict.ok, verdict.reason, verdict.fault, verdict.message) == (
        False,
        Reason.ERROR,
        Fault.HUB,
        "the text holds a NUL",
    )
    assert w.effects(fx.Changed), "and that is written"
    assert w.submit(1) == "queued", "which is not answered from the cache"


def test_a_running_job_that_cant_be_stored_is_stopped() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.submit(2)
    _not_stored(w, 1, ended=False)
    assert w.aborted() == [1]
    assert w.reason(1) == "Error"
    w.release("w", 1, attempt=1)
    assert w.assigned() == [2]


def test_a_job_that_has_changed_since_is_left_alone() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    job = w.core.jobs[job_id(1)]
    event = ev.NotStored(job.id, job.queued, job.rev, False, "no column can hold it")
    w.phase("w", 1)
    w.send(event)
    assert w.state(1) is State.RUNNING, "its newer state may be stored"
    assert not w.last


def test_a_stored_end_survives_a_later_change_that_cant_be_stored() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    w.finish("w", 1)
    assert w.submit(1, "other") == "cached"
    _not_stored(w, 1, ended=False)
    assert job_id(1) not in w.core.jobs, "it is read from the store again"
    assert w.core.may_be_stored(job_id(1))
    assert w.core.finished == 1


def test_a_job_without_a_definition_in_the_store_is_removed() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    _not_stored(w, 1, ended=False, whole=True)
    assert w.aborted() == [1]
    assert job_id(1) not in w.core.jobs
    assert w.effects(fx.Forget)
    assert w.core.finished == 0


def test_a_new_run_is_not_ended_for_the_last_one() -> None:
    w = World()
    w.join("w")
    w.submit(1)
    _report(w, "w", 1)
    job = w.core.jobs[job_id(1)]
    event = ev.NotStored(job.id, job.queued, job.rev, True, "no column can hold it")
    w.submit(1, reuse="never")
    w.send(event)
    assert w.state(1) is State.RUNNING


def test_of_two_stored_jobs_in_one_namespace_the_older_is_released() -> None:
    """The end of the older could not be stored, and the hub was killed before anything took its place."""
    w = World()
    older, newer = (
        Job(id=job_id(n), number=n, summary=Summary(), queued=n, holders=("mine",), lane="mine") for n in (1, 2)
    )
    w.core.restore([newer, older], w.now, finished=0, number=2)
    w.wait(0)
    assert w.reason(1) == "Replaced"
    assert w.state(2) is State.QUEUED
    assert w.core.slots == {"mine": job_id(2)}
    assert w.effects(fx.Changed), "and that is written"


def back(w: World, number: int = 1) -> str:
    return state_of(w.core.jobs[job_id(number)]).back


def test_a_job_tells_what_became_of_its_last_attempt() -> None:
    w = World()
    w.submit(1)
    w.join("ada")
    assert back(w) == ""
    w.phase("ada", 1)
    w.lose("ada")
    w.wait(w.core.policy.grace)
    assert back(w) == "worker 'ada' was lost"
    w.join("bob")
    w.phase("bob", 1)
    w.join("bob", holding=[])
    assert back(w) == "worker 'bob' was started again and lost the job"
    w.drain("bob")
    w.release("bob", 1)
    assert back(w) == "worker 'bob' is stopping, or takes no jobs now, and gave the job back"
    w.join("eve")
    w.release("eve", 1)
    assert back(w) == "worker 'eve' gave the job back"
    explained = explain(w.core, w.core.jobs[job_id(1)], w.now).sentence
    assert back(w) in explained or w.state(1) is State.RUNNING
    w.finish("eve", 1)
    assert back(w) == "worker 'eve' gave the job back", "it stays with the run"
    w.submit(1, reuse="never")
    assert back(w) == ""


def test_a_worker_that_was_drained_and_then_left_is_not_told_as_lost() -> None:
    w = World()
    w.submit(1)
    w.join("ada")
    w.phase("ada", 1)
    w.drain("ada")
    w.lose("ada")
    w.wait(w.core.policy.grace)
    assert back(w) == "worker 'ada' was stopped before the job had ended"
    said = explain(w.core, w.core.jobs[job_id(1)], w.now).sentence
    assert said == f"{back(w)}, so it waits again: no worker is connected to this queue"


def test_a_worker_that_is_known_from_a_job_alone_is_listed_without_invented_facts() -> None:
    w = World()
    w.submit(1)
    w.join("ada", cpus=4)
    restarted = QueueCore()
    restarted.restore(list(w.core.jobs.values()), w.now, finished=0, number=1)
    (listed,) = (worker.wire() for worker in restarted.workers.values())
    assert (listed.name, listed.state, listed.jobs) == ("ada", "away", 1)
    assert (listed.executor, listed.cpus, listed.used_cpus, listed.platform) == ("", 0, 0, "")
