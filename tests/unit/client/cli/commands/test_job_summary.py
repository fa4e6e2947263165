"""The summary of a job for people."""

from __future__ import annotations

from typing import Any

from asman.display.answers import summary_lines
from asman_shared import messages as m
from asman_shared.states import Reason, State


def line(seq: int, text: str) -> m.LogLine:
    return m.LogLine(seq, 1, m.STDOUT, text)


def shown_of(**more: Any) -> list[str]:
    job = more.pop("job", m.JobState("abc", 1, State.RUNNING))
    return summary_lines(m.JobSummary(1, job, **more))


def test_only_what_is_known_is_shown() -> None:
    assert shown_of() == ["       job  abc", "     state  Running", "     lines  0"]


def test_a_finished_job_says_how_it_ended_even_with_exit_code_0() -> None:
    verdict = m.Verdict(ok=True, reason=Reason.SUCCESS, exit_code=0)
    shown = shown_of(job=m.JobState("abc", 1, State.FINISHED, verdict=verdict))
    assert shown[1:3] == ["     state  Success", " exit code  0"]
    assert not any("hint" in text or "message" in text for text in shown)


def test_lines_that_are_gone_are_counted() -> None:
    assert shown_of(lines=10, missing=3)[-1] == "     lines  10, of which 3 are no longer kept"


def test_the_first_error_is_marked_among_the_lines_around_it_and_not_shown_again() -> None:
    error = [line(4, "before"), line(5, "error: oh"), line(6, "after")]
    shown = shown_of(error=error, error_seq=5, last=[line(6, "after"), line(7, "end")])
    assert shown[3:] == ["", "first error:", "  before", "> error: oh", "  after", "", "last lines:", "  end"]


def test_of_a_progress_bar_the_last_state_is_shown() -> None:
    shown = shown_of(last=[line(0, "10%\r50%\r100%\r"), line(1, "plain")])
    assert shown[-2:] == ["  100%", "  plain"]
