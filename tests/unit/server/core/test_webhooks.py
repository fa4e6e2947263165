"""Which webhooks the core decides to call: for whom, when, and once."""

from __future__ import annotations

import pytest

from asman_server.core import Job, QueuePolicy
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.core.callbacks import Call, Calls
from asman_shared.definition import Shape
from asman_shared.limits import CALLBACKS_PER_JOB_BYTES
from asman_shared.messages import Summary
from tests.support.core_world import World, job_id

QUEUED = Call("https://example.org/queued", b'{"n":1}')
FINISHED = Call("https://example.org/finished")
BOTH = Calls(QUEUED, FINISHED)


def called(world: World) -> list[tuple[str, str, str]]:
    """Event, namespace and reason of the calls that the last step decided."""
    return [(c.event, c.namespace, c.reason.value if c.reason else "") for c in world.effects(fx.CallWebhook)]


def test_a_new_run_calls_queued_at_once_and_finished_at_its_end() -> None:
    world = World()
    world.join("w")
    assert world.submit(1, "ns", calls=BOTH) == "queued"
    assert called(world) == [("queued", "ns", "")]
    assert world.effects(fx.CallWebhook)[0].call == QUEUED
    world.phase("w", 1)
    assert called(world) == []
    world.finish("w", 1, code=3)
    assert called(world) == [("finished", "ns", "Failed")]
    assert world.core.jobs[job_id(1)].hooks is None


def test_the_call_comes_with_the_change_that_it_tells_of() -> None:
    """Both go into one transaction because they are effects of one event."""
    world = World()
    world.join("w")
    world.submit(1, calls=BOTH)
    assert [type(e) for e in world.last if isinstance(e, fx.Changed | fx.CallWebhook)][:2] == [
        fx.Changed,
        fx.CallWebhook,
    ]
    world.finish("w", 1)
    kinds = [type(e) for e in world.last]
    assert kinds.index(fx.Changed) < kinds.index(fx.CallWebhook)


def test_whoever_joins_is_called_at_the_end_and_not_as_queued() -> None:
    world = World()
    world.join("w", cpus=2)
    world.submit(1, "a", calls=BOTH)
    assert world.submit(1, "b", calls=BOTH) == "joined"
    assert called(world) == []
    assert world.effects(fx.Changed), "what a submission asks for is written"
    world.submit(1, "c")
    world.finish("w", 1)
    assert called(world) == [("finished", "a", "Success"), ("finished", "b", "Success")]


def test_a_submit_that_is_repeated_adds_nothing() -> None:
    world = World()
    world.submit(1, "a", calls=BOTH)
    for _ in range(3):
        assert world.submit(1, "a", calls=BOTH) == "joined"
        assert called(world) == []
        assert not world.effects(fx.Changed)
    other = Calls(finished=Call("https://example.org/another"))
    world.submit(1, "a", calls=other)
    world.cancel(1, "a")
    assert len(called(world)) == 2


def test_a_cached_answer_calls_finished_at_once() -> None:
    world = World()
    world.join("w")
    world.submit(1)
    world.finish("w", 1)
    assert world.submit(1, "later", calls=BOTH) == "cached"
    assert called(world) == [("finished", "later", "Success")]
    assert world.submit(1, "later", calls=BOTH) == "cached"
    assert called(world) == [("finished", "later", "Success")], "each submission is a question of its own"


def test_a_lost_worker_calls_nobody_until_the_job_is_given_up() -> None:
    world = World(QueuePolicy(grace=1000))
    world.submit(1, calls=BOTH, max_attempts=2)
    for attempt in (1, 2):
        world.join(f"w{attempt}")
        world.phase(f"w{attempt}", 1)
        world.lose(f"w{attempt}")
        assert called(world) == []
        world.wait(1000)
        assert called(world) == ([] if attempt == 1 else [("finished", "_", "WorkerLost")])


@pytest.mark.parametrize("others", [False, True])
def test_a_cancelled_submission_is_told_whether_or_not_others_go_on(others: bool) -> None:
    world = World()
    world.submit(1, "mine", calls=BOTH)
    if others:
        world.submit(1, "other", calls=BOTH)
    world.cancel(1, "mine")
    assert called(world) == [("finished", "mine", "Cancelled")]
    if others:
        world.cancel(1, "*")
        assert called(world) == [("finished", "other", "Cancelled")]


@pytest.mark.parametrize("others", [False, True])
def test_a_replaced_submission_is_told_whether_or_not_others_go_on(others: bool) -> None:
    world = World()
    world.submit(1, "slot", calls=Calls(finished=FINISHED))
    if others:
        world.submit(1, "other")
    world.submit(2, "slot", calls=Calls(queued=QUEUED))
    assert sorted(called(world)) == [("finished", "slot", "Replaced"), ("queued", "slot", "")]


def test_a_deleted_job_is_finished_first() -> None:
    world = World()
    world.submit(1, calls=BOTH)
    world.delete(1)
    assert called(world) == [("finished", "_", "Deleted")]


def test_what_waits_survives_in_the_stored_record_and_costs_others_nothing() -> None:
    world = World()
    world.submit(1, "a", calls=BOTH)
    world.submit(2, "b")
    stored = world.core.jobs[job_id(1)].pack()
    plain = world.core.jobs[job_id(2)].pack()
    assert b"hooks" not in plain
    again = World()
    again.core.restore([Job.unpack(stored)], again.now, finished=0, number=1)
    again.cancel(1, "a")
    assert called(again) == [("finished", "a", "Cancelled")]


def test_a_job_remembers_a_bounded_amount() -> None:
    world = World()
    large = b"x" * 16_000
    fitting = CALLBACKS_PER_JOB_BYTES // 16_100
    for n in range(fitting):
        world.submit(1, f"n{n}", calls=Calls(finished=Call(f"https://example.org/{n}", large)))
    refused = None
    for n in range(fitting, fitting + 2):
        world.send(
            ev.Submitted(
                job=job_id(1),
                shape=Shape(),
                summary=Summary(),
                namespace=f"n{n}",
                calls=Calls(finished=Call("https://example.org/more", large)),
            )
        )
        refused = refused or (world.effects(fx.Refused) or [None])[0]
    assert refused is not None
    assert refused.code == "too_large"
    assert f"n{fitting + 1}" not in world.core.jobs[job_id(1)].holders
    assert world.submit(1, "without") == "joined"
