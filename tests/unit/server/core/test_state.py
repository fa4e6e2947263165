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
    w.send(ev.Settled(job_id(1), w.core.jobs[job_id(1)].rev))
    w.submit(1, "a")
    w.submit(3, "a")
    assert w.reason(1) == "Replaced"
    w.send(ev.Settled(job_id(2), w.core.jobs[job_id(2)].rev))
    assert job_id(1) in w.core.jobs
