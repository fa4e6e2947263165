"""What the ways a run can end mean for those who wait."""

from __future__ import annotations

from typing import Final

from asman_shared.messages import Outcome, Verdict
from asman_shared.states import Reason

WHY_ABORTED: Final[dict[Reason, str]] = {
    Reason.CANCELLED: "the job was cancelled",
    Reason.REPLACED: "a newer job took its place",
    Reason.DELETED: "the job was deleted",
    Reason.TIMED_OUT: "its time limit has passed",
}
"""What a worker is told when it must stop."""

_REASONS: Final = {
    "error": Reason.ERROR,
    "timed_out": Reason.TIMED_OUT,
    "out_of_memory": Reason.OUT_OF_MEMORY,
}


def verdict_of(outcome: Outcome, lines: int) -> Verdict:
    """What an outcome means.

    Args:
        outcome: As its worker saw it.
        lines: The seq after the last log line.
    """
    if outcome.kind == "exited":
        reason = Reason.SUCCESS if outcome.exit_code == 0 else Reason.FAILED
    else:
        reason = _REASONS[outcome.kind]
    return Verdict(
        ok=reason is Reason.SUCCESS,
        reason=reason,
        exit_code=outcome.exit_code,
        message=outcome.message,
        fault=outcome.fault if reason is Reason.ERROR else None,
        outputs=len(outcome.result.outputs),
        lines=lines,
        duration=outcome.duration,
    )


def lost_verdict(losses: int, lines: int) -> Verdict:
    """A job that has used up its attempts."""
    plural = "s" if losses > 1 else ""
    return Verdict(
        ok=False,
        reason=Reason.WORKER_LOST,
        message=f"{losses} worker{plural} in turn were lost while running it",
        hint="if the job itself brings its worker down, ask for more memory or mend it",
        lines=lines,
    )
