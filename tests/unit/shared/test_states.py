"""The words for where a job is and how it ended."""

from __future__ import annotations

from asman_shared.states import Phase, Reason, State


def test_a_job_is_over_when_it_is_finished_or_gone() -> None:
    assert {state for state in State if state.over} == {State.FINISHED, State.REMOVED}


def test_everything_before_the_run_prepares_it() -> None:
    assert {phase for phase in Phase if not phase.prepares} == {Phase.RUNNING, Phase.UPLOADING}


def test_only_what_a_job_did_by_itself_is_an_answer_for_the_next_one_who_asks() -> None:
    assert {reason for reason in Reason if reason.cacheable} == {Reason.SUCCESS, Reason.FAILED}


def test_a_word_is_found_by_its_text() -> None:
    for word in (*State, *Phase, *Reason):
        assert hash(word) == hash(word.value)
        assert {word: 1}[type(word)(word.value)] == 1
        assert {word.value: 1}.get(word) == 1
