"""Exit codes of the commands."""

from __future__ import annotations

import pytest

from asman.cli import exits
from asman.errors import JobFailed
from asman_shared.errors import NotFound, TimedOut
from asman_shared.messages import Verdict
from asman_shared.states import Reason


def verdict(reason: Reason, code: int | None = None) -> Verdict:
    return Verdict(reason is Reason.SUCCESS, reason, code)


@pytest.mark.parametrize("reason", set(Reason) - {Reason.FAILED})
def test_every_end_without_an_exit_code_of_its_own_has_one_with_a_meaning(reason: Reason) -> None:
    code = exits.of_verdict(verdict(reason))
    assert code in exits.EXIT_CODES
    assert (code == exits.OK) == (reason is Reason.SUCCESS)


def test_a_failed_job_gives_its_own_code_and_never_0() -> None:
    assert exits.of_verdict(verdict(Reason.FAILED, 42)) == 42
    assert exits.of_verdict(verdict(Reason.FAILED, None)) == 1


def test_errors_end_in_their_codes() -> None:
    assert exits.of_error(TimedOut("late")) == exits.TIMED_OUT
    assert exits.of_error(NotFound("gone")) == exits.NOT_RUN
    assert exits.of_error(JobFailed("a" * 64, verdict(Reason.FAILED, 7))) == 7
    assert exits.of_error(JobFailed("a" * 64, verdict(Reason.TIMED_OUT))) == exits.TIMED_OUT
