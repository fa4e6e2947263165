"""The summary of a job for people."""

from __future__ import annotations

from typing import Any

from asman.cli.commands.job_summary import _as_text


def line(seq: int, text: str) -> dict[str, Any]:
    return {"seq": seq, "time": 1, "stream": "stdout", "text": text, "phase": "running"}


def summary(**more: Any) -> dict[str, Any]:
    job = more.pop("job", {"id": "abc", "state": "Running"})
    return {"job": job, "last": [], "error": [], "error_seq": None, "lines": 0, "missing": 0, **more}


def test_only_what_is_known_is_shown() -> None:
    assert _as_text(summary()) == ["       job  abc", "     state  Running", "     lines  0"]


def test_a_finished_job_says_how_it_ended_even_with_exit_code_0() -> None:
    verdict = {"reason": "Success", "exit_code": 0, "message": "", "hint": ""}
    shown = _as_text(summary(job={"id": "abc", "state": "Finished", "verdict": verdict}))
    assert shown[1:3] == ["     state  Success", " exit code  0"]
    assert not any("hint" in text or "message" in text for text in shown)


def test_lines_that_are_gone_are_counted() -> None:
    assert _as_text(summary(lines=10, missing=3))[-1] == "     lines  10, of which 3 are no longer kept"


def test_the_first_error_is_marked_among_the_lines_around_it_and_not_shown_again() -> None:
    error = [line(4, "before"), line(5, "error: oh"), line(6, "after")]
    shown = _as_text(summary(error=error, error_seq=5, last=[line(6, "after"), line(7, "end")]))
    assert shown[3:] == ["", "first error:", "  before", "> error: oh", "  after", "", "last lines:", "  end"]


def test_of_a_progress_bar_the_last_state_is_shown() -> None:
    shown = _as_text(summary(last=[line(0, "10%\r50%\r100%\r"), line(1, "plain")]))
    assert shown[-2:] == ["  100%", "  plain"]
