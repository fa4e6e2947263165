"""The states of tasks, of those that every client can read.

Clients break on PAUSED, CANCELING and PREEMPTED, and one takes QUEUED for the end of a task. So a task that waits is
INITIALIZING, and one that is being cancelled is CANCELED.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from asman_shared.messages import Verdict
from asman_shared.states import Phase, Reason, State

TaskState = Literal["QUEUED", "INITIALIZING", "RUNNING", "COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"]
STATES: Final[tuple[TaskState, ...]] = get_args(TaskState)
ASKED: Final = (
    "UNKNOWN",
    "QUEUED",
    "INITIALIZING",
    "RUNNING",
    "PAUSED",
    "COMPLETE",
    "EXECUTOR_ERROR",
    "SYSTEM_ERROR",
    "CANCELED",
    "CANCELING",
    "PREEMPTED",
)
"""The states that a list may be asked for."""
_ENDED_BY_SOMEBODY: Final = frozenset({Reason.CANCELLED, Reason.REPLACED, Reason.DELETED})


def task_state(state: State, phase: Phase | None, verdict: Verdict | None) -> TaskState:
    """Returns the state of a task by that of its job."""
    if state is State.QUEUED:
        return "INITIALIZING"
    if state is State.RUNNING:
        return "INITIALIZING" if phase is None or phase.prepares else "RUNNING"
    if verdict is None or verdict.reason in _ENDED_BY_SOMEBODY:
        return "CANCELED"
    if verdict.reason is Reason.SUCCESS:
        return "COMPLETE"
    ran = verdict.exit_code is not None and verdict.reason is not Reason.ERROR
    return "EXECUTOR_ERROR" if ran else "SYSTEM_ERROR"


def matches(state: TaskState, asked: str) -> bool:
    """Whether a list that is asked for a state has a task in another; both words for waiting mean the same."""
    return state == ("INITIALIZING" if asked == "QUEUED" else asked)
