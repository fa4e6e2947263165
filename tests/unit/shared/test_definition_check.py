"""What a definition may hold; each refusal names the field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asman_shared import limits
from asman_shared.definition import DataRef, Definition, Shape
from asman_shared.definition_check import check, check_name
from asman_shared.errors import BadDefinition, BadRequest


def made(**fields: Any) -> Definition:
    return msgspec.convert(fields, Definition)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"image": "a", "build": {"dockerfile": "FROM x"}}, "definition.build"),
        ({"image": " "}, "definition.image"),
        ({"image": "a b"}, "definition.image"),
        ({"tags": [""]}, "definition.tags.0"),
        ({"tags": ["x"] * (limits.TAGS + 1)}, "definition.tags"),
        ({"env": {"a=b": "c"}}, "definition.env"),
        ({"env": {"a": "\0"}}, "definition.env"),
        ({"env": {str(n): "" for n in range(limits.ENV_ENTRIES + 1)}}, "definition.env"),
        ({"requirements": {"cpus": 0}}, "definition.requirements.cpus"),
        ({"requirements": {"cpus": 0.0009}}, "definition.requirements.cpus"),
        ({"requirements": {"cpus": 100_001}}, "definition.requirements.cpus"),
        ({"requirements": {"gpus": 10_001}}, "definition.requirements.gpus"),
        ({"requirements": {"memory": "0b"}}, "definition.requirements.memory"),
        ({"requirements": {"memory": ""}}, "definition.requirements.memory"),
        ({"requirements": {"memory": "16384p"}}, "definition.requirements.memory"),
        ({"requirements": {"maxDuration": "0s"}}, "definition.requirements.maxDuration"),
        ({"maxDuration": "36501d"}, "definition.maxDuration"),
        ({"shmSize": "0b"}, "definition.shmSize"),
        ({"shmSize": "5p"}, "definition.shmSize"),
        ({"command": "a\0"}, "definition.command"),
        ({"command": ["a", "b\0"]}, "definition.command"),
        ({"command": ["x" * (limits.ARGUMENT_BYTES + 1)]}, "definition.command"),
        ({"entrypoint": "é" * (limits.ARGUMENT_BYTES // 2 + 1)}, "definition.entrypoint"),
        ({"workdir": "/\0"}, "definition.workdir"),
        ({"env": {"a": "x" * (limits.ARGUMENT_BYTES - 1)}}, "definition.env"),
        ({"env": {"four": "\U0001f642" * (limits.ARGUMENT_BYTES // 4)}}, "definition.env"),
        ({"inputs": {"a": {"value": ""}, "./a": {"value": ""}}}, "definition.inputs../a"),
        ({"inputs": {"a/b/c": {"value": ""}, "a": {"value": ""}}}, "definition.inputs.a/b/c"),
        ({"configFiles": {"/a": {"value": ""}, "/a/b": {"value": ""}}}, "definition.configFiles./a/b"),
        ({"requirements": {"gpus": -1}}, "definition.requirements.gpus"),
        ({"requirements": {"memory": "2"}}, "definition.requirements.memory"),
        ({"requirements": {"maxDuration": "20"}}, "definition.requirements.maxDuration"),
        ({"maxDuration": "x"}, "definition.maxDuration"),
        ({"shmSize": "1"}, "definition.shmSize"),
        ({"build": {"platform": "Linux"}}, "definition.build.platform"),
        ({"inputs": {"../x": {"value": ""}}}, "definition.inputs.../x"),
        ({"inputs": {"/x": {"value": ""}}}, "definition.inputs./x"),
        ({"inputs": {"x": {"type": "key", "value": "abc"}}}, "definition.inputs.x.value"),
        ({"inputs": {"x": {"type": "url", "value": "file:///etc/passwd"}}}, "definition.inputs.x.value"),
        ({"inputs": {"x": {"type": "url", "value": "http://h:port/x"}}}, "definition.inputs.x.value"),
        ({"configFiles": {"/x": {"type": "url", "value": "https://h:65536/"}}}, "definition.configFiles./x.value"),
        ({"inputs": {"x": {"type": "base64", "value": "a"}}}, "definition.inputs.x.value"),
        ({"inputs": {"x": {"type": "base64", "value": "é==="}}}, "definition.inputs.x.value"),
        ({"configFiles": {"/x": {"type": "base64", "value": "a-b_"}}}, "definition.configFiles./x.value"),
        ({"inputs": {"x": {"type": "base64", "value": 3}}}, "definition.inputs.x.value"),
        ({"inputs": {"x": {"value": 3}}}, "definition.inputs.x.value"),
        ({"inputs": {str(n): {"value": ""} for n in range(limits.INPUTS + 1)}}, "definition.inputs"),
        ({"configFiles": {"a//b": {"value": ""}}}, "definition.configFiles.a//b"),
        ({"v": "x" * (limits.LABEL_LENGTH + 1)}, "definition.v"),
        ({"v": 2**53}, "definition.v"),
        ({"v": -(2**53)}, "definition.v"),
        ({"image": "x" * (limits.IMAGE_LENGTH + 1)}, "definition.image"),
        ({"image": "a\0"}, "definition.image"),
        ({"command": ["x"] * (limits.ARGUMENTS + 1)}, "definition.command"),
        ({"workdir": "x" * (limits.BUILD_PATH_LENGTH + 1)}, "definition.workdir"),
        ({"shmSize": " " * limits.UNIT_LENGTH + "1"}, "definition.shmSize"),
        ({"maxDuration": "1" * (limits.UNIT_LENGTH + 1)}, "definition.maxDuration"),
        ({"requirements": {"cpus": float("nan")}}, "definition.requirements.cpus"),
        ({"build": {"context": "x" * (limits.CONTEXT_LENGTH + 1)}}, "definition.build.context"),
        ({"build": {"buildContext": "x" * (limits.BUILD_PATH_LENGTH + 1)}}, "definition.build.buildContext"),
        ({"build": {"filename": "x" * (limits.BUILD_PATH_LENGTH + 1)}}, "definition.build.filename"),
        ({"build": {"target": "x" * (limits.NAME_LENGTH + 1)}}, "definition.build.target"),
        ({"build": {"dockerfile": "FROM a\0"}}, "definition.build.dockerfile"),
        ({"build": {"buildArgs": ["a"] * (limits.ENV_ENTRIES + 1)}}, "definition.build.buildArgs"),
        ({"build": {"buildArgs": ["a=\0"]}}, "definition.build.buildArgs"),
        ({"build": {"platform": "a/" + "b" * limits.PLATFORM_LENGTH}}, "definition.build.platform"),
        ({"inputs": {"a": {"value": "", "hash": "x" * (limits.NAME_LENGTH + 1)}}}, "definition.inputs.a.hash"),
    ],
)
def test_bad_definitions_are_refused_and_the_field_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check(made(**fields))
    assert caught.value.field == field
    assert caught.value.message


@pytest.mark.parametrize(
    ("inputs", "config_files", "field"),
    [
        (["a"], ["a"], "configFiles.a"),
        (["a"], ["/inputs/a"], "configFiles./inputs/a"),
        (["./a"], ["/./inputs/a"], "configFiles././inputs/a"),
        (["a"], ["a/b"], "configFiles.a/b"),
        (["a"], ["/inputs/a/b"], "configFiles./inputs/a/b"),
        (["a/b/c"], ["a"], "inputs.a/b/c"),
        (["a/b/c"], ["/inputs/a/b"], "inputs.a/b/c"),
        ([], ["a", "/inputs/a"], "configFiles./inputs/a"),
        ([], ["/inputs/a/b", "a"], "configFiles./inputs/a/b"),
    ],
)
def test_inputs_and_config_files_that_would_be_one_file_are_refused_with_both_names(
    inputs: list[str], config_files: list[str], field: str
) -> None:
    ref = {"value": ""}
    with pytest.raises(BadDefinition) as caught:
        check(made(inputs=dict.fromkeys(inputs, ref), configFiles=dict.fromkeys(config_files, ref)))
    assert caught.value.field == f"definition.{field}"
    for name in (*inputs, *config_files):
        assert f"'{name}'" in caught.value.message


def test_the_folder_of_all_inputs_is_no_config_file() -> None:
    with pytest.raises(BadDefinition, match="the folder of all inputs"):
        check(made(configFiles={"/inputs": {"value": ""}}))


def test_names_that_are_alike_and_have_places_of_their_own_are_allowed() -> None:
    ref = {"value": ""}
    alike = dict.fromkeys(("b", "/a", "/inputs/c", "inputs/a", "/inputs-a", "ab/c", "/inputs/inputs/b"), ref)
    check(made(inputs={"a": ref, "d/e": ref}, configFiles=alike))


def test_the_bounds_themselves_are_allowed() -> None:
    check(made(requirements={"cpus": 0.001, "memory": "1b", "gpus": 10_000, "maxDuration": "1ms"}, shmSize="1b"))
    check(made(requirements={"cpus": 100_000, "memory": "4p", "gpus": 0, "maxDuration": "36500d"}, shmSize="4p"))
    check(made(v=2**53 - 1, image="x" * limits.IMAGE_LENGTH, workdir="x" * limits.BUILD_PATH_LENGTH))
    check(made(v="x" * limits.LABEL_LENGTH, command=["x"] * limits.ARGUMENTS))
    check(made(build={"context": "x" * limits.CONTEXT_LENGTH, "buildArgs": ["a"] * limits.ENV_ENTRIES}))
    check(made(command=["x" * limits.ARGUMENT_BYTES], env={"a": "x" * (limits.ARGUMENT_BYTES - 2)}))
    check(made(inputs={"a": {"value": ""}, "a.b/c": {"value": ""}, "a-b": {"value": ""}}))


def test_base64_may_have_lines() -> None:
    check(made(inputs={"x": {"type": "base64", "value": "aGVs\nbG8=\n"}, "y": {"type": "base64", "value": ""}}))


def test_shape() -> None:
    definition = made(
        image="a",
        tags=["big"],
        maxDuration="2h",
        requirements={"cpus": 0.5, "memory": "2g", "gpus": 1, "maxDuration": "1h"},
    )
    assert check(definition) == Shape(500, 2 << 30, 1, frozenset({"big"}), "", 3_600_000)
    assert check(made(image="a")) == Shape()


def test_the_shape_tells_where_the_programs_of_the_job_come_from() -> None:
    assert check(made(command="true")) == Shape(source="machine")
    assert check(made(command="true"), bare=True) == Shape(source="machine")
    assert check(made(image="a"), bare=True) == Shape()
    assert check(made(build={"dockerfile": "FROM a"})).source == "build"
    assert check(made(image="a", build={"platform": "linux/arm64"})).source == "image"
    assert check(made(command="true", requirements={"cpus": 2})) == Shape(2000, source="machine")


@pytest.mark.parametrize("name", ["a", "a/b.txt", "./a", "ünï/✓", "a b", "-rf", "x" * 255, ".hidden"])
def test_good_names(name: str) -> None:
    assert check_name(name, field="f") == name.removeprefix("./")


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "..", "a/../b", "a//b", "a/", "./", "a/./b", "a\0b", "a\nb", "x" * 256, "y/" * 600 + "z"]
)
def test_hostile_names(name: str) -> None:
    with pytest.raises(BadRequest):
        check_name(name, field="f")


def test_absolute_names_only_where_they_are_meant() -> None:
    assert check_name("/etc/app.toml", field="f", absolute=True) == "/etc/app.toml"
    with pytest.raises(BadRequest):
        check_name("/etc/../x", field="f", absolute=True)


@pytest.mark.parametrize(
    "path", ["/outputs", "/outputs/x", "/job-cache", "/proc/x", "/sys", "/dev/null", "/a:rw", "/./dev/x"]
)
def test_a_config_file_over_what_is_the_workers_or_the_kernels_is_refused_before_it_is_queued(path: str) -> None:
    with pytest.raises(BadDefinition, match="can't be put there") as refused:
        check(Definition(config_files={path: DataRef("x", "utf8")}))
    assert refused.value.field == f"definition.configFiles.{path}"


def test_a_config_file_with_a_name_like_a_reserved_one_is_fine() -> None:
    check(Definition(config_files=dict.fromkeys(["/outputs.conf", "/etc/dev/x", "dev/x", "a:b"], DataRef("x", "utf8"))))


def test_a_json_value_is_nested_as_deeply_as_every_reader_can_follow() -> None:
    check(Definition(inputs={"f": DataRef(nested(limits.VALUE_DEPTH), "json")}))
    for levels in (limits.VALUE_DEPTH + 1, 965, 5000):
        with pytest.raises(BadDefinition, match="nested at most 100 levels deep") as refused:
            check(Definition(inputs={"f": DataRef(nested(levels), "json")}))
        assert refused.value.field == "definition.inputs.f.value"


def nested(levels: int) -> Any:
    """Lists and objects within each other, also deeper than a decoder goes."""
    value: Any = "x"
    for level in range(levels):
        value = {"y": value} if level % 2 else [1, value]
    return value
