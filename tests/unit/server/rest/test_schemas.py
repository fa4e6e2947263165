"""The schema of a definition takes what the hub takes, and refuses what it refuses for its form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from asman_server.rest.schemas import definition_schema
from asman_shared.definition import Build, DataRef, Definition, Requirements

SCHEMA = json.loads(definition_schema())
FULL = Definition(
    v=1,
    build=Build(context="https://g/x.git", build_args=["A=1"]),
    command=["echo", "1"],
    entrypoint="sh",
    workdir="/w",
    shm_size="1g",
    env={"A": "b"},
    inputs={"a": DataRef("x"), "b": DataRef({"x": 1}, "json")},
    config_files={"/etc/x": DataRef("eA==", "base64")},
    max_duration="1m",
    tags=["t"],
    requirements=Requirements(cpus=0.5, gpus=1, memory="1g", max_duration="1m"),
    outputs=["*.csv"],
)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for definition in (Definition(), FULL):
        Draft202012Validator(SCHEMA).validate(msgspec.to_builtins(definition))


def test_definitions_of_other_clients_fit() -> None:
    found = json.loads((Path(__file__).parents[3] / "data" / "job_ids.json").read_text())
    cases = found if isinstance(found, list) else found["vectors"]
    for case in cases:
        try:
            msgspec.convert(case["definition"], Definition)
        except msgspec.ValidationError:
            continue  # with fields that only that language takes
        Draft202012Validator(SCHEMA).validate(case["definition"])


@pytest.mark.parametrize(
    "wrong", [{"imge": "x"}, {"image": 3}, {"env": {"A": 1}}, {"inputs": {"a": "x"}}, {"requirements": {"cpus": "2"}}]
)
def test_what_is_no_definition_does_not_fit(wrong: Any) -> None:
    assert not Draft202012Validator(SCHEMA).is_valid(wrong)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Definition)
