"""What somebody could make grow without end, or get wrong for everybody, by asking or claiming too much."""

from __future__ import annotations

from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_server.core.reconcile import AHEAD
from asman_shared import limits
from asman_shared.definition import Shape
from asman_shared.messages import Held, Summary
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


def test_of_what_comes_back_at_once_the_most_urgent_is_next() -> None:
    w = World()
    w.join("lost", cpus=2)
    w.submit(1)
    w.submit(2, priority=5)
    for number in (1, 2):
        w.phase("lost", number)
    w.drain("lost")
    w.join("other", cpus=1)
    w.lose("lost")
    w.wait(30_000)
    assert w.assigned() == [2]


def test_many_namespaces_with_a_job_each_are_served_without_looking_at_all_of_them() -> None:
    w = World()
    turns = w.core.ready.turns
    looked = 0
    sizes = []
    for number in range(3 * turns.PRUNE):
        before = turns._next
        turns.serve(f"n{number}")
        looked += len(before) if turns._next is not before else 0
        sizes.append(len(turns._next))
    assert looked < 4 * len(sizes), "each turn looks at every namespace"
    for _ in range(3 * turns.PRUNE):
        turns.serve("one")
    for number in range(4 * turns.PRUNE):
        turns.serve(f"m{number}")
    assert len(turns._next) <= 4 * turns.PRUNE + 1, "namespaces whose turn has passed are still known"
