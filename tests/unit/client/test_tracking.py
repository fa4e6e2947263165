"""The newest state of a followed job, and the buffer of its log."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from asman.tracking import TAIL_BYTES, TAIL_LINES, Tail, Tracker
from asman_shared import messages as m
from asman_shared.errors import ConnectionFailed
from asman_shared.states import Reason, State


def state(rev: int, where: State = State.QUEUED) -> m.JobState:
    verdict = m.Verdict(ok=True, reason=Reason.SUCCESS, exit_code=0) if where is State.FINISHED else None
    return m.JobState("a" * 64, rev, where, verdict=verdict)


def test_an_answer_replaces_any_state_but_a_push_only_an_older_one() -> None:
    tracker = Tracker()
    tracker.answered(state(5, State.RUNNING))
    tracker.pushed(state(5))
    tracker.pushed(state(4))
    assert tracker.state == state(5, State.RUNNING)
    tracker.answered(state(2))
    assert tracker.state == state(2)


def test_a_later_run_is_newer_though_its_revisions_begin_again() -> None:
    tracker = Tracker()
    tracker.answered(replace(state(5, State.RUNNING), queued=100))
    tracker.pushed(replace(state(1), queued=101))
    assert tracker.state is not None
    assert tracker.state.version == (101, 1)
    tracker.pushed(replace(state(6), queued=100))
    assert tracker.state.version == (101, 1)


def test_a_job_that_was_removed_has_a_verdict_that_says_so() -> None:
    tracker = Tracker()
    assert tracker.verdict is None
    tracker.answered(state(1, State.REMOVED))
    assert tracker.verdict is not None
    assert (tracker.verdict.ok, tracker.verdict.reason) == (False, Reason.DELETED)


async def test_a_change_wakes_all_waiters_and_an_error_is_raised_only_before_the_end() -> None:
    tracker = Tracker()
    waiting = [asyncio.create_task(tracker.change()) for _ in range(3)]
    await asyncio.sleep(0)
    tracker.pushed(state(1))
    await asyncio.gather(*waiting)
    tracker.failed(ConnectionFailed("the hub is away"))
    with pytest.raises(ConnectionFailed):
        await tracker.change()
    tracker.answered(state(2, State.FINISHED))
    await tracker.change()


def test_lines_that_arrived_before_are_ignored() -> None:
    tail = Tail(Tracker(), 3)
    tail.pushed([m.LogLine(seq, 0, 0, "x") for seq in range(5)])
    assert [line.seq for line in tail.pop()] == [3, 4]
    tail.pushed([m.LogLine(4, 0, 0, "x")])
    assert tail.pop() == []
    assert (tail.next, tail.dropped) == (5, False)


async def test_a_slow_reader_of_a_log_drops_lines_and_knows_it() -> None:
    tail = Tail(Tracker(), 0)
    tail.pushed([m.LogLine(i, 0, 0, "x") for i in range(TAIL_LINES + 5)])
    assert tail.dropped
    assert tail.next == TAIL_LINES
    assert len(tail.pop()) == TAIL_LINES
    assert tail.pop() == []
    tail.dropped = False
    tail.pushed([m.LogLine(TAIL_LINES, 0, 0, "x" * (TAIL_BYTES + 1))])
    assert not tail.dropped
    tail.pushed([m.LogLine(TAIL_LINES + 1, 0, 0, "x")])
    assert (tail.dropped, tail.next) == (True, TAIL_LINES + 1)
