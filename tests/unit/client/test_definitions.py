"""Definitions from Python arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from asman.definitions import JobFields, make, read
from asman_shared.definition import DataRef, Definition, Requirements
from asman_shared.errors import BadDefinition


def test_fields_replace_parts_and_add_to_environment_inputs_and_requirements(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("b")
    base = Definition(
        image="alpine",
        command="true",
        env={"A": "1", "B": "1"},
        inputs={"a": DataRef("a", "utf8")},
        requirements=Requirements(cpus=2, memory="1g"),
    )
    made, blobs = make(
        base, {"command": ["echo"], "env": {"B": "2"}, "files": [tmp_path / "b.txt"], "cpus": 1.0, "memory": 5}
    )
    assert (made.image, made.command, made.env) == ("alpine", ["echo"], {"A": "1", "B": "2"})
    assert made.inputs == {"a": DataRef("a", "utf8"), "b.txt": DataRef("b", "utf8")}
    assert made.requirements == Requirements(cpus=1, memory="5b")
    assert blobs == {}
    assert base.env == {"A": "1", "B": "1"}, "the caller's object is left alone"
    assert base.requirements == Requirements(cpus=2, memory="1g")


@pytest.mark.parametrize(("value", "kind"), [(3, "an int"), (None, "a NoneType"), (2.5, "a float")])
def test_an_environment_variable_is_a_string(value: Any, kind: str) -> None:
    with pytest.raises(BadDefinition, match=f"variable SEED is {kind}; pass a string") as caught:
        make(None, cast(JobFields, {"command": "x", "env": {"SEED": value}}))
    assert caught.value.field == "definition.env.SEED"


def test_an_unknown_or_wrong_field_is_named() -> None:
    with pytest.raises(BadDefinition) as caught:
        read({"command": "x", "env": {"A": 1}})
    assert str(caught.value.field).startswith("definition.env")
    with pytest.raises(BadDefinition, match="imge"):
        read({"imge": "x"})


def test_a_definition_is_copied() -> None:
    given = Definition(command="x")
    assert read(given) == given
    assert read(given) is not given
