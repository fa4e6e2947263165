"""Definitions from Python arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from asman.definitions import JobFields, make, read
from asman_shared.definition import DataRef, Definition, Requirements
from asman_shared.errors import BadDefinition, BadRequest, BadUnit


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
        base, {"command": ["echo"], "env": {"B": "2"}, "files": [tmp_path / "b.txt"], "cpus": 1.0, "memory": 2**20}
    )
    assert (made.image, made.command, made.env) == ("alpine", ["echo"], {"A": "1", "B": "2"})
    assert made.inputs == {"a": DataRef("a", "utf8"), "b.txt": DataRef("b", "utf8")}
    assert made.requirements == Requirements(cpus=1, memory="1048576b")
    assert blobs == {}
    assert base.env == {"A": "1", "B": "1"}, "the caller's object is left alone"
    assert base.requirements == Requirements(cpus=2, memory="1g")


def test_numbers_in_the_environment_become_text() -> None:
    made, _ = make(None, {"command": "x", "env": {"SEED": 3, "ALPHA": 0.25, "NAME": "a"}})
    assert made.env == {"SEED": "3", "ALPHA": "0.25", "NAME": "a"}


@pytest.mark.parametrize(
    ("field", "value", "said", "named"),
    [
        ("env", {"SEED": None}, "the environment variable SEED is None; pass a string or a number", "env.SEED"),
        ("env", {"SEED": True}, "the environment variable SEED is a bool; pass a string or a number", "env.SEED"),
        ("env", ["A=1"], "env is a list; pass a mapping of names to values", "env"),
        ("gpus", "A100", "gpus is a str; pass a whole number", "requirements.gpus"),
        ("gpus", 1.5, "gpus is a float; pass a whole number", "requirements.gpus"),
        ("cpus", "two", "cpus is a str; pass a number", "requirements.cpus"),
        ("cpus", True, "cpus is a bool; pass a number", "requirements.cpus"),
        ("memory", 1.5, "memory is a float; pass a string such as '2GiB', or a number of bytes", "requirements.memory"),
        ("tags", "fast", "tags is a str; pass a list of strings", "tags"),
        ("outputs", ["a", 3], "outputs[1] is an int; pass a string", "outputs.1"),
        ("command", ["echo", 3], "command[1] is an int; pass a string", "command.1"),
        ("command", 3, "command is an int; pass a list of strings", "command"),
        ("image", b"alpine", "image is a bytes; pass a string", "image"),
        ("max_duration", 60, "max_duration is an int; pass a string such as '20m'", "maxDuration"),
        ("build", "folder", "build is a str; pass a Build, or a mapping with its fields", "build"),
        ("inputs", ["a.txt"], "inputs is a list; pass a mapping of names to values", "inputs"),
        ("inputs", {1: "x"}, "a name in inputs is an int; pass a string", "inputs"),
        ("config_files", ["a"], "config_files is a list; pass a mapping of names to values", "configFiles"),
        ("files", 5, "files is an int; pass a list of paths, or a mapping of names to paths", "inputs"),
        ("files", b"a.txt", "files is a bytes; pass a list of paths", "inputs"),
        ("files", {"a": None}, "a path in files is None; pass a string or a Path", "inputs"),
        ("files", [b"/tmp"], "a path in files is a bytes; pass a string or a Path", "inputs"),
        ("cpus", 10**400, "cpus is far out of range", "requirements.cpus"),
        ("gpus", 10**4000, "gpus is far out of range", "requirements.gpus"),
        ("memory", 10**4000, "memory is far out of range", "requirements.memory"),
        ("env", {"A": 10**4000}, "the environment variable A is far out of range", "env.A"),
        ("version", -(10**4000), "version is far out of range", "v"),
        ("version", 1.5, "version is a float; pass a string or a whole number", "v"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_named(field: str, value: Any, said: str, named: str) -> None:
    with pytest.raises(BadDefinition) as caught:
        make(None, cast(JobFields, {"command": "x", field: value}))
    assert caught.value.message.startswith(said)
    assert caught.value.field == f"definition.{named}"


@pytest.mark.parametrize(
    ("name", "near"), [("memroy", "memory"), ("comand", "command"), ("input", "inputs"), ("zzz", "")]
)
def test_an_unknown_argument_is_refused_with_the_nearest_one(name: str, near: str) -> None:
    with pytest.raises(BadRequest) as caught:
        make(None, cast(JobFields, {name: 1}))
    assert caught.value.message == f"unknown argument '{name}'" + (f"; did you mean '{near}'?" if near else "")


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


@pytest.mark.parametrize("size", [1, 512, 2**20 - 1])
def test_memory_is_no_number_that_someone_meant_in_another_unit(size: int) -> None:
    with pytest.raises(
        BadUnit, match=rf"memory is {size}, a number of bytes: write a unit, such as '{size}MiB'"
    ) as got:
        make(None, {"command": "x", "memory": size})
    assert got.value.field == "definition.requirements.memory"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("ram", "memory"), ("cwd", "workdir"), ("environment", "env"), ("keep", "outputs"), ("args", "command")],
)
def test_the_name_that_other_programs_have_for_an_argument_finds_it(given: str, meant: str) -> None:
    with pytest.raises(BadRequest, match=f"unknown argument '{given}'; did you mean '{meant}'") as got:
        make(None, cast(Any, {given: "x"}))
    assert got.value.field == given
