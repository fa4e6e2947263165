"""The state of a queue: what stays in memory, what may be stored, and when a job needs care."""

from __future__ import annotations

from asman_server.core import QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_shared.states import State
from tests.support.core_world import World, job_id


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


def test_a_finished_job_that_runs_again_may_not_leave_memory_before_that_is_durable() -> None:
    w = World(QueuePolicy(finished_kept=1))
    w.submit(1, "a")
    w.submit(2, "a")
    settle(w, 1)
    w.submit(1, "a")
    w.submit(3, "a")
    assert w.reason(1) == "Replaced"
    settle(w, 2)
    assert job_id(1) in w.core.jobs


def test_the_end_of_a_job_that_was_removed_makes_no_end_of_a_new_one_durable() -> None:
    """The new one counts its states from the beginning, so both may have the same number."""
    w = World(QueuePolicy(finished_kept=1))
    w.submit(1, "a")
    w.submit(2, "a")
    assert w.reason(1) == "Replaced"
    removed = w.core.jobs[job_id(1)]
    assert removed.state is State.FINISHED
    w.send(ev.DeleteRequested(job_id(1), "me"))
    w.wait(1)
    w.submit(1, "b")
    w.submit(3, "b")
    assert w.reason(1) == "Replaced"
    new = w.core.jobs[job_id(1)]
    assert new.queued != removed.queued
    w.send(ev.Settled(new.id, removed.queued, new.rev))
    assert new.id not in w.core.state.settled
    w.send(ev.Settled(new.id, new.queued, new.rev))
    assert new.id in w.core.state.settled


def settle(w: World, number: int) -> None:
    job = w.core.jobs[job_id(number)]
    w.send(ev.Settled(job.id, job.queued, job.rev))
