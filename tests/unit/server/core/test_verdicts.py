"""Verdicts: what a reported outcome means, and what to do about it."""

from __future__ import annotations

from typing import Literal

import pytest

from asman_server.core.verdicts import WHY_ABORTED, lost_verdict, verdict_of
from asman_shared.messages import Outcome
from asman_shared.states import Fault, Reason


@pytest.mark.parametrize(("code", "reason"), [(0, Reason.SUCCESS), (1, Reason.FAILED), (255, Reason.FAILED)])
def test_only_exit_code_zero_is_a_success(code: int, reason: Reason) -> None:
    verdict = verdict_of(Outcome(kind="exited", exit_code=code), lines=7)
    assert (verdict.reason, verdict.ok, verdict.exit_code, verdict.lines) == (reason, code == 0, code, 7)


def test_a_run_that_says_no_exit_code_has_failed() -> None:
    verdict = verdict_of(Outcome(kind="exited"), lines=0)
    assert (verdict.ok, verdict.reason, verdict.hint) == (False, Reason.FAILED, "")


@pytest.mark.parametrize(
    ("kind", "reason", "hint"),
    [
        ("timed_out", Reason.TIMED_OUT, "a longer time limit"),
        ("out_of_memory", Reason.OUT_OF_MEMORY, "requirements.memory"),
    ],
)
def test_a_limit_that_was_reached_is_named_with_what_to_change(
    kind: Literal["timed_out", "out_of_memory"], reason: Reason, hint: str
) -> None:
    verdict = verdict_of(Outcome(kind=kind, exit_code=137, message="as it was told", duration=12), lines=0)
    assert (verdict.ok, verdict.reason, verdict.message, verdict.duration) == (False, reason, "as it was told", 12)
    assert hint in verdict.hint
    assert "signal 9" not in verdict.hint, "the limit explains the exit code"


@pytest.mark.parametrize(("fault", "hint"), [(Fault.JOB, "definition"), (Fault.WORKER, "worker"), (Fault.HUB, "hub")])
def test_an_error_says_whose_fault_it_is_and_where_to_look(fault: Fault, hint: str) -> None:
    verdict = verdict_of(Outcome(kind="error", message="broken", fault=fault), lines=0)
    assert (verdict.reason, verdict.fault) == (Reason.ERROR, fault)
    assert hint in verdict.hint


def test_a_fault_is_told_of_errors_alone() -> None:
    assert verdict_of(Outcome(kind="exited", exit_code=1, fault=Fault.WORKER), lines=0).fault is None
    assert verdict_of(Outcome(kind="timed_out", fault=Fault.WORKER), lines=0).fault is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (125, "container engine"),
        (126, "can't be executed"),
        (127, "not found"),
        (137, "signal 9"),
        (139, "signal 11"),
        (143, "signal 15"),
    ],
)
def test_a_well_known_exit_code_is_explained(code: int, words: str) -> None:
    assert words in verdict_of(Outcome(kind="exited", exit_code=code), lines=0).hint


@pytest.mark.parametrize("code", [0, 1, 2, 124, 128, 138])
def test_any_other_exit_code_is_the_jobs_own_business(code: int) -> None:
    assert verdict_of(Outcome(kind="exited", exit_code=code), lines=0).hint == ""


@pytest.mark.parametrize(("losses", "words"), [(1, "1 worker was lost"), (3, "3 workers in a row were lost")])
def test_a_job_that_used_up_its_attempts_says_how_many_workers_it_cost(losses: int, words: str) -> None:
    verdict = lost_verdict(losses, lines=5)
    assert (verdict.ok, verdict.reason, verdict.lines) == (False, Reason.WORKER_LOST, 5)
    assert words in verdict.message
    assert "memory" in verdict.hint


def test_a_worker_is_told_why_for_each_reason_for_which_the_hub_stops_a_run() -> None:
    assert set(WHY_ABORTED) == {Reason.CANCELLED, Reason.REPLACED, Reason.DELETED, Reason.TIMED_OUT}
    assert len(set(WHY_ABORTED.values())) == len(WHY_ABORTED)
