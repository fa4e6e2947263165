"""Everything that is wrong with a definition at once, and nothing that is right."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared.definition import Definition
from asman_shared.definition_check import check
from asman_shared.errors import AsmanError
from asman_shared.identity import job_id
from asman_shared.validation import PROBLEMS, inspect


def test_every_fault_is_told_with_its_field() -> None:
    value = {
        "image": "a b",
        "imge": "typo",
        "command": 3,
        "requirements": {"memory": "2", "gpus": "x", "cpu": 1},
        "inputs": {"../x": {"value": "1"}, "y": {"value": "a", "type": "soap"}, "z": 3, "good": {"value": "v"}},
        "env": {"A": 1},
        "maxDuration": "soon",
    }
    definition, problems = inspect(value)
    assert definition is None
    assert [problem.field for problem in problems] == [
        "definition.image",
        "definition.imge",
        "definition.command",
        "definition.requirements.memory",
        "definition.requirements.gpus",
        "definition.requirements.cpu",
        "definition.inputs.../x",
        "definition.inputs.y.type",
        "definition.inputs.z",
        "definition.env.A",
        "definition.maxDuration",
    ]
    assert all(problem.message for problem in problems)


def test_faults_between_fields_are_found_when_each_is_right_by_itself() -> None:
    _, problems = inspect({"image": "a", "build": {"context": "c"}})
    assert [problem.field for problem in problems] == ["definition.build"]
    _, problems = inspect({"inputs": {"a": {"value": ""}}, "configFiles": {"/inputs/a": {"value": ""}}})
    assert [problem.field for problem in problems] == ["definition.configFiles./inputs/a"]


def test_what_can_not_be_hashed_is_a_problem() -> None:
    _, problems = inspect({"image": "a\ud800"})
    assert [problem.field for problem in problems] == ["definition"]


def test_the_list_of_problems_is_bounded() -> None:
    _, problems = inspect({"inputs": {f"/{n}": {"value": ""} for n in range(1000)}})
    assert len(problems) == PROBLEMS


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_fields = st.sampled_from([field.encode_name for field in msgspec.structs.fields(Definition)])


@given(st.dictionaries(_fields | st.text(max_size=4), _json, max_size=4))
def test_it_agrees_with_what_submit_takes(value: dict[str, Any]) -> None:
    try:
        expected: Definition | None = msgspec.convert(value, Definition)
        assert expected is not None
        check(expected)
        job_id(expected)
    except (msgspec.ValidationError, AsmanError):
        expected = None
    definition, problems = inspect(value)
    assert definition == expected
    assert bool(problems) == (expected is None)
    assert all(problem.field.startswith("definition") and problem.message for problem in problems)


@pytest.mark.parametrize(
    "value", [{}, {"image": "alpine"}, {"image": "a", "inputs": {"x": {"value": 1, "type": "json"}}}]
)
def test_what_is_right_has_no_problems(value: dict[str, Any]) -> None:
    definition, problems = inspect(value)
    assert problems == []
    assert definition == msgspec.convert(value, Definition)
