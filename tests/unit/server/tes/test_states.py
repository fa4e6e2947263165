"""States of tasks by those of their jobs."""

from __future__ import annotations

from typing import get_args

import pytest

from asman_server.tes.states import ASKED, TaskState, matches, task_state
from asman_shared.messages import Verdict
from asman_shared.states import Phase, Reason, State

READABLE = {"QUEUED", "INITIALIZING", "RUNNING", "COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"}
"""The states that every client reads."""
ENDS = {
    (Reason.SUCCESS, 0): "COMPLETE",
    (Reason.FAILED, 1): "EXECUTOR_ERROR",
    (Reason.ERROR, None): "SYSTEM_ERROR",
    (Reason.ERROR, 0): "SYSTEM_ERROR",
    (Reason.TIMED_OUT, 143): "EXECUTOR_ERROR",
    (Reason.TIMED_OUT, None): "SYSTEM_ERROR",
    (Reason.OUT_OF_MEMORY, 137): "EXECUTOR_ERROR",
    (Reason.CANCELLED, None): "CANCELED",
    (Reason.REPLACED, None): "CANCELED",
    (Reason.DELETED, None): "CANCELED",
    (Reason.WORKER_LOST, None): "SYSTEM_ERROR",
}


def test_each_end_has_a_state_and_each_reason_is_known() -> None:
    for (reason, code), state in ENDS.items():
        verdict = Verdict(ok=reason is Reason.SUCCESS, reason=reason, exit_code=code)
        assert task_state(State.FINISHED, None, verdict) == state
    assert {reason for reason, _ in ENDS} == set(Reason)


@pytest.mark.parametrize("phase", [None, *Phase])
def test_05_a_task_is_never_in_a_state_that_some_client_can_not_read(phase: Phase | None) -> None:
    assert set(get_args(TaskState)) <= READABLE
    assert task_state(State.QUEUED, phase, None) == "INITIALIZING"
    runs = phase in (Phase.RUNNING, Phase.UPLOADING)
    assert task_state(State.RUNNING, phase, None) == ("RUNNING" if runs else "INITIALIZING")


def test_06_waiting_tasks_are_found_by_both_words() -> None:
    assert [asked for asked in ASKED if matches("INITIALIZING", asked)] == ["QUEUED", "INITIALIZING"]
