"""The exception for a job that did not succeed."""

from __future__ import annotations

import pytest

from asman.errors import JobFailed, describe
from asman_shared.messages import Verdict
from asman_shared.states import Reason


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_sentence(reason: Reason) -> None:
    verdict = Verdict(reason is Reason.SUCCESS, reason, 3 if reason is Reason.FAILED else None)
    sentence = describe(verdict)
    assert sentence
    assert "None" not in sentence
    verdict.message = "the details"
    assert describe(verdict) == f"{sentence}: the details"


def test_an_error_after_the_end_of_the_command_says_its_exit_code() -> None:
    verdict = Verdict(False, Reason.ERROR, 0, message="no room")
    assert describe(verdict) == "exited with code 0, but its result is not complete: no room"


def test_the_text_has_the_last_lines_and_the_message_does_not() -> None:
    verdict = Verdict(False, Reason.FAILED, 3, hint="look at it")
    error = JobFailed("a" * 64, verdict, ["one", "two"])
    assert error.message == f"job {'a' * 12} exited with code 3"
    assert str(error).splitlines() == [error.message, "last lines of its log:", "  one", "  two"]
    assert (error.exit_code, error.hint, error.lines) == (3, "look at it", ["one", "two"])
    assert str(JobFailed("a" * 64, verdict)) == error.message
