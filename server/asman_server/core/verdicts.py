"""Verdicts: the end of a run as clients see it."""

from __future__ import annotations

from typing import Final

from asman_shared.messages import Outcome, Verdict
from asman_shared.states import Fault, Reason, Reuse

WHY_ABORTED: Final[dict[Reason, str]] = {
    Reason.CANCELLED: "the job was cancelled",
    Reason.REPLACED: "a newer job took its place",
    Reason.DELETED: "the job was deleted",
    Reason.TIMED_OUT: "its time limit has passed",
}
"""The reason that a worker is told when it must stop an attempt."""

_REASONS: Final = {
    "error": Reason.ERROR,
    "timed_out": Reason.TIMED_OUT,
    "out_of_memory": Reason.OUT_OF_MEMORY,
}

_HINTS: Final = {
    Reason.TIMED_OUT: "give it a longer time limit, or less to do",
    Reason.OUT_OF_MEMORY: "ask for more memory in requirements.memory",
}
_FAULTS: Final = {
    Fault.JOB: "fix the definition or its inputs and submit it again",
    Fault.WORKER: "try again; if it fails the same way, check the worker",
    Fault.HUB: "try again; if it fails the same way, check the hub",
}
_EXIT_CODES: Final = {
    125: "the container engine refused to start it; its log says why",
    126: "its command was found but can't be executed: check its permissions and its format",
    127: "its command was not found in the image",
    137: "it was killed (signal 9): by itself, or by the machine it ran on",
    139: "it crashed (signal 11, an invalid memory access)",
    143: "it was terminated (signal 15)",
}


def answers(verdict: Verdict | None, reuse: Reuse) -> bool:
    """Whether a verdict is the answer to a submission with this reuse, instead of a new run."""
    if verdict is None or reuse == "never":
        return False
    return verdict.ok if reuse == "success" else verdict.reason.cacheable


def verdict_of(outcome: Outcome, lines: int) -> Verdict:
    """Converts an outcome to a verdict.

    Args:
        outcome: The outcome that the worker reported.
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
        hint=hint_of(reason, outcome),
        fault=outcome.fault if reason is Reason.ERROR else None,
        outputs=len(outcome.result.outputs),
        lines=lines,
        duration=outcome.duration,
    )


def hint_of(reason: Reason, outcome: Outcome) -> str:
    """Suggests what to do about an outcome; empty when there is nothing to suggest."""
    if reason is Reason.FAILED:
        return _EXIT_CODES.get(outcome.exit_code or 0, "")
    if reason is Reason.ERROR:
        return _FAULTS[outcome.fault]
    return _HINTS.get(reason, "")


def lost_verdict(losses: int, lines: int) -> Verdict:
    """Returns the verdict of a job that has used up its attempts."""
    lost = "1 worker was lost" if losses == 1 else f"{losses} workers in a row were lost"
    return Verdict(
        ok=False,
        reason=Reason.WORKER_LOST,
        message=f"{lost} while running it",
        hint="if the job itself stops its worker, ask for more memory or fix the job",
        lines=lines,
    )
