"""The fuzzer in ``make test``: a short run of every door, always the same."""

from __future__ import annotations

import pytest

from tests.fuzz.doors import OF_A_HUB, PARSERS
from tests.fuzz.mutants import MUTANTS, plant
from tests.fuzz.openapi_door import OpenApi
from tests.fuzz.play import play


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_has_no_fault(name: str) -> None:
    played = play(PARSERS[name](), 0, seconds=4, inputs=1500)
    assert not played.fault, f"{played.fault}\npython -m tests.fuzz --door {name} --replay {played.file}"


@pytest.mark.parametrize("name", [name for name in OF_A_HUB if name != OpenApi.name])
def test_a_door_of_a_hub_has_no_fault(name: str) -> None:
    played = play(OF_A_HUB[name](), 0, seconds=3, inputs=150)
    assert not played.fault, f"{played.fault}\npython -m tests.fuzz --door {name} --replay {played.file}"


def test_every_operation_answers_as_the_openapi_document_says() -> None:
    door = OpenApi()
    played = play(door, 0, enough=lambda: door.asked == set(door.operations))
    assert not played.fault, f"{played.fault}\npython -m tests.fuzz --door openapi --replay {played.file}"
    assert door.asked == set(door.operations)


def test_an_answer_that_the_openapi_document_does_not_describe_is_found() -> None:
    door = OpenApi()
    door.mutant = "no finished jobs are a null"
    played = play(door, 0, inputs=6000, keep=False)
    assert 'GET /q/{queue}/jobs: Response violates schema: null is not of type "integer"' in played.fault


def test_a_planted_fault_is_found() -> None:
    name = "a carriage return ends a line"
    with plant(name):
        played = play(PARSERS[MUTANTS[name][0]](), 0, seconds=15, keep=False)
    assert "spaces instead of carriage returns" in played.fault
    assert played.inputs > 20, "the corpus alone finds it"
