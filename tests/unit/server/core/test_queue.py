"""The queue as a whole: whose reports count, drain, and what a restart takes over."""

from __future__ import annotations

from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_shared.messages import Held
from asman_shared.states import Phase, State
from tests.support.core_world import World, job_id


def held(number: int, attempt: int = 1, **more: bool) -> Held:
    return Held(job_id(number), attempt, Phase.RUNNING, **more)


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


def test_cancel_of_what_is_unknown_is_an_answer() -> None:
    w = World()
    w.send(ev.CancelRequested(job_id(9), reply_to="me"))
    (refused,) = w.effects(fx.Refused)
    assert refused.code == "not_found"
    assert refused.reply_to == "me"


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
