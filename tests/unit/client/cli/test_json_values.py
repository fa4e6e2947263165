"""Values of ``--json``: the protocol's names, and addresses that can be opened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from asman.cli.json_values import job_value, line_value, outputs_value, state_value, summary_value
from asman.logs import Line
from asman_shared import messages as m
from asman_shared.definition import DataRef
from asman_shared.states import Phase, Reason, State

URL = "https://hub.example/q/a/j/b"
VERDICT = m.Verdict(ok=True, reason=Reason.SUCCESS, exit_code=0)


def state(**more: Any) -> m.JobState:
    return m.JobState(id="b", rev=1, state=State.FINISHED, attempt=1, queued=5, **more)


def job(**more: Any) -> Any:
    return SimpleNamespace(
        **{"state": state(), "url": URL, "answer": "", "able": 0, "why": "", "verdict": None, "earlier": None, **more}
    )


def result(*names: str) -> Any:
    outputs = {name: m.OutputFile(DataRef("x"), 1, "ab" * 32, media_type="text/plain") for name in names}
    return SimpleNamespace(outputs=outputs, skipped={"pipe": "no file"}, phases={Phase.RUNNING: 7}, image_digest="d")


def test_a_state_has_the_names_of_the_protocol() -> None:
    found = state_value(state(worker="w"))
    assert (found["id"], found["state"], found["queued"], found["worker"]) == ("b", "Finished", 5, "w")


def test_a_job_that_was_not_submitted_here_has_no_answer() -> None:
    assert not {"answer", "able", "why", "verdict", "outputs"} & set(job_value(job()))
    found = job_value(job(answer="queued", able=2, why="", verdict=VERDICT))
    assert (found["answer"], found["able"], found["why"], found["url"]) == ("queued", 2, "", URL)
    assert found["verdict"]["reason"] == "Success"


def test_outputs_have_addresses_that_can_be_opened_whatever_their_names() -> None:
    found = outputs_value(job(), result("a b/ü?.txt"))
    assert found["a b/ü?.txt"] == {
        "size": 1,
        "sha256": "ab" * 32,
        "media_type": "text/plain",
        "url": f"{URL}/outputs/a%20b/%C3%BC%3F.txt",
    }


def test_a_result_comes_with_what_was_left_out_and_how_long_each_phase_took() -> None:
    found = job_value(job(verdict=VERDICT), result("a"))
    assert (found["skipped"], found["phases"], found["image_digest"]) == ({"pipe": "no file"}, {"running": 7}, "d")


def test_a_line_says_that_lines_before_it_are_missing_only_if_they_are() -> None:
    line = Line(seq=3, time=5, stream="stdout", text="x", phase=Phase.RUNNING)
    assert line_value(line) == {"seq": 3, "time": 5, "stream": "stdout", "text": "x", "phase": "running"}
    assert line_value(Line(seq=3, time=5, stream="stdout", text="x", phase=Phase.RUNNING, missing=2))["missing"] == 2


def test_a_summary_has_its_lines_in_full_and_nothing_of_the_message() -> None:
    lines = [m.LogLine(0, 5, m.STDERR, "oh", Phase.RUNNING)]
    found = summary_value(m.JobSummary(ref=9, job=state(), last=lines, error=lines, error_seq=0, lines=1, missing=0))
    assert not {"type", "ref"} & set(found)
    assert found["error"] == found["last"] == [line_value(Line(0, 5, "stderr", "oh", Phase.RUNNING))]
    assert (found["lines"], found["missing"], found["error_seq"]) == (1, 0, 0)
