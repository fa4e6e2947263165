"""What a queue's owner orders: a pause, a drained worker, jobs that are kept, a purge."""

from __future__ import annotations

import pytest

from asman_server.core import QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.core.explain import explain
from asman_server.core.state import DRAINED_KEPT
from asman_server.core.submissions import PAUSED
from asman_shared.messages import Held
from asman_shared.states import Reason, State
from tests.support.core_world import World, job_id

DAY = 86_400_000


@pytest.fixture
def world() -> World:
    return World(QueuePolicy(retention=DAY))


def pause(world: World, paused: bool) -> fx.SaveSettings:
    world.send(ev.Configured(None, None, paused))
    (saved,) = world.effects(fx.SaveSettings)
    assert isinstance(saved, fx.SaveSettings)
    return saved


def purge(world: World, *numbers: int, states: list[State], reasons: tuple[Reason, ...] = (), age: int = 0) -> int:
    jobs = [job_id(number) for number in numbers]
    world.send(ev.PurgeRequested(jobs, [], states, reasons, world.now - age))
    (answer,) = world.effects(fx.PurgeAnswer)
    return int(answer.count)


def test_a_paused_queue_takes_jobs_and_gives_none_until_it_is_resumed(world: World) -> None:
    world.join("a")
    assert pause(world, True).paused == world.now
    assert world.submit(1) == "queued"
    (answer,) = world.effects(fx.SubmitAnswer)
    assert (answer.able, answer.why) == (1, PAUSED)
    world.join("b")
    world.wait(1000)
    assert world.core.running == 0
    found = explain(world.core, world.core.jobs[job_id(1)], world.now)
    assert (found.waiting_for, found.position) == ("pause", 0)
    assert "paused" in found.sentence
    assert pause(world, False).paused == 0
    assert world.core.running == 1


def test_what_runs_goes_on_in_a_paused_queue_and_comes_back_to_wait(world: World) -> None:
    world.join("a", cpus=2)
    world.submit(1)
    world.submit(2)
    since = pause(world, True).paused
    world.wait(500)
    assert pause(world, True).paused == since, "a second pause changes nothing"
    assert world.finish("a", 1)
    world.release("a", 2)
    assert world.core.ready.waiting == 1
    pause(world, False)
    assert world.core.running == 1


def test_a_pause_leaves_the_retention_and_a_retention_the_pause(world: World) -> None:
    world.send(ev.Configured(5 * DAY))
    saved = pause(world, True)
    assert (saved.own, saved.retention, saved.paused) == (5 * DAY, 5 * DAY, world.now)
    world.send(ev.Configured(0))
    (saved,) = world.effects(fx.SaveSettings)
    assert (saved.own, saved.retention, saved.paused) == (0, DAY, world.now)


def test_workers_that_choose_get_nothing_of_a_paused_queue(world: World) -> None:
    world.join("a", chooses=True)
    world.submit(1)
    pause(world, True)
    assert world.claim("a", 1) == "the queue is paused"
    pause(world, False)
    assert world.claim("a", 1) == ""


def test_a_restored_queue_is_paused_as_it_was(world: World) -> None:
    world.core.restore([], world.now, finished=0, number=0, paused=7)
    world.join("a")
    world.submit(1)
    assert (world.core.paused, world.core.running) == (7, 0)


def test_a_drained_worker_gets_no_job_and_ends_when_it_has_none(world: World) -> None:
    world.join("a")
    world.submit(1)
    world.send(ev.DismissRequested("a"))
    (answer,) = world.effects(fx.DismissAnswer)
    assert [worker.wire().state for worker in answer.workers] == ["draining"]
    assert not world.effects(fx.Dismiss)
    world.submit(2)
    attempt = world.core.jobs[job_id(1)].attempt
    world.lose("a")
    world.join("a", holding=[Held(job_id(1), attempt)])
    assert world.core.jobs[job_id(2)].state is State.QUEUED
    world.finish("a", 1)
    assert world.effects(fx.Dismiss)
    assert world.core.jobs[job_id(2)].state is State.QUEUED


def test_an_idle_worker_that_is_drained_ends_at_once_and_the_undoing_takes_jobs_again(world: World) -> None:
    world.join("a")
    world.join("b")
    world.send(ev.DismissRequested(world.core.workers["a".ljust(16, ".")].incarnation[:8]))
    assert [effect.worker.info.name for effect in world.effects(fx.Dismiss)] == ["a"]
    world.submit(1)
    world.submit(2)
    assert world.core.running == 1
    world.send(ev.DismissRequested("a", undo=True))
    assert world.core.running == 2


@pytest.mark.parametrize("held", [False, True])
def test_a_drained_worker_that_was_given_up_gets_no_job_when_it_comes_back(world: World, held: bool) -> None:
    world.join("a")
    if held:
        world.submit(1)
    world.send(ev.DismissRequested("a"))
    world.lose("a")
    if held:
        world.wait(world.core.state.policy.grace + 1)
    assert not world.core.workers
    world.submit(2)
    world.join("a")
    assert (world.core.running, len(world.effects(fx.Dismiss))) == (0, 1)
    world.lose("a")
    world.send(ev.DismissRequested("a", undo=True))
    assert not world.effects(fx.Refused)
    world.join("a")
    assert world.core.running == 1


def test_drained_workers_that_have_gone_are_remembered_up_to_a_number(
    world: World,
) -> None:
    for name in ("a", "b", "a", "c"):
        world.join(name)
        world.send(ev.DismissRequested(name))
        world.lose(name)
    assert [name for name, _ in world.core.state.drained.values()] == ["b", "a", "c"]
    for number in range(DRAINED_KEPT):
        world.join(f"w{number}")
        world.send(ev.DismissRequested(f"w{number}"))
        world.lose(f"w{number}")
    assert [name for name, _ in world.core.state.drained.values()] == [f"w{n}" for n in range(DRAINED_KEPT)]


def test_the_undoing_of_a_drain_leaves_a_worker_that_drains_by_itself(world: World) -> None:
    world.join("a", draining=True)
    world.send(ev.DismissRequested("a"))
    world.send(ev.DismissRequested("a", undo=True))
    world.submit(1)
    assert world.core.running == 0


def test_a_worker_that_is_not_there_is_refused_by_its_name(world: World) -> None:
    world.send(ev.DismissRequested("nobody"))
    (refused,) = world.effects(fx.Refused)
    assert (refused.code, "'nobody'" in refused.message) == ("not_found", True)


def test_a_kept_job_has_no_end_until_it_is_kept_no_longer(world: World) -> None:
    world.join("a")
    world.submit(1)
    world.finish("a", 1)
    job = world.core.jobs[job_id(1)]
    rev = job.rev
    world.send(ev.KeepRequested(job.id))
    world.send(ev.KeepRequested(job.id))
    assert (job.kept, job.rev, world.core.due(job)) == (True, rev + 1, 0)
    world.now += 2 * DAY
    world.send(ev.Due([job.id]))
    assert job.id in world.core.jobs
    world.send(ev.KeepRequested(job.id, keep=False))
    world.send(ev.Due([job.id]))
    assert job.id not in world.core.jobs


def test_a_purge_removes_what_it_names_and_neither_running_nor_kept_jobs(world: World) -> None:
    world.join("a")
    for number, code in ((1, 0), (2, 1), (3, 0)):
        world.submit(number)
        world.finish("a", number, code)
    world.send(ev.KeepRequested(job_id(3)))
    world.submit(4)
    world.submit(5)
    assert purge(world, 1, 2, 3, 4, 5, states=[State.FINISHED], reasons=(Reason.FAILED,)) == 1
    assert purge(world, 1, 2, 3, 4, 5, states=[State.FINISHED], age=1) == 0
    assert purge(world, 1, 2, 3, 4, 5, states=[State.FINISHED, State.QUEUED]) == 2
    assert set(world.core.jobs) == {job_id(3), job_id(4)}
    assert world.core.jobs[job_id(4)].state is State.RUNNING


def test_a_purge_of_cancelled_jobs_leaves_those_with_an_earlier_success(world: World) -> None:
    world.join("a")
    for number in (1, 2):
        world.submit(number)
    world.finish("a", 1)
    world.cancel(2)
    world.submit(1, reuse="never")
    world.cancel(1)
    assert [world.reason(number) for number in (1, 2)] == ["Cancelled", "Cancelled"]
    assert purge(world, 1, 2, states=[State.FINISHED], reasons=(Reason.CANCELLED,)) == 1
    assert world.submit(1) == "cached"
    assert purge(world, 1, states=[State.FINISHED]) == 1


def test_jobs_in_the_store_alone_are_purged_too(world: World) -> None:
    world.join("a")
    world.submit(1)
    world.finish("a", 1)
    away = world.core.jobs[job_id(1)]
    world.core.state.leave(away)
    world.send(ev.PurgeRequested([away.id], [away], [State.FINISHED], [], world.now))
    (answer,) = world.effects(fx.PurgeAnswer)
    assert (answer.count, world.core.finished) == (1, 0)
    assert [effect.job.id for effect in world.effects(fx.Forget)] == [away.id]


def test_a_deleted_queue_stops_every_attempt_and_hands_out_nothing_more(world: World) -> None:
    world.join("a")
    world.submit(1)
    world.submit(2)
    world.join("b")
    world.effects(fx.Assign)
    world.send(ev.QueueDeleted())
    stopped = {(each.worker.incarnation[0], each.job) for each in world.effects(fx.Abort) if isinstance(each, fx.Abort)}
    assert stopped == {("a", job_id(1)), ("b", job_id(2))}
    assert not world.effects(fx.Assign)
