"""Conversion of inputs to refs and blobs."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import asman
from asman.definitions import make
from asman.inputs import INLINE_TOTAL, name_files, prepare
from asman_shared import limits
from asman_shared.definition import Build, DataRef, Definition
from asman_shared.errors import BadDefinition, BadRequest, BadUnit
from asman_shared.identity import job_id


def refs(**values: object) -> dict[str, DataRef]:
    return prepare(values, where="inputs").refs


def test_small_values_travel_inside() -> None:
    assert refs(a="text", b=b"bytes", c=b"\xff\x00", d={"x": [1, None]}, e=7, f=DataRef("k", "utf8")) == {
        "a": DataRef("text", "utf8"),
        "b": DataRef("bytes", "utf8"),
        "c": DataRef(base64.b64encode(b"\xff\x00").decode(), "base64"),
        "d": DataRef({"x": [1, None]}, "json"),
        "e": DataRef(7, "json"),
        "f": DataRef("k", "utf8"),
    }


KEY = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    "given",
    [
        {"type": "url", "value": "https://files.example/a"},
        {"type": "key", "value": KEY},
        {"type": "utf8", "value": "text"},
        {"type": "base64", "value": "AA=="},
        {"type": "json", "value": {"type": "url", "value": 1}},
        {"type": "url", "value": "https://files.example/a", "hash": "ab"},
        MappingProxyType({"type": "key", "value": KEY}),
    ],
)
def test_the_json_form_of_a_ref_is_that_ref(given: Mapping[str, Any]) -> None:
    wanted = DataRef(given["value"], given["type"], given.get("hash"))
    definition, blobs = make(None, {"image": "a", "inputs": {"n": given}, "config_files": {"/etc/n": given}})
    assert definition.inputs == {"n": wanted}
    assert definition.config_files == {"/etc/n": wanted}
    assert blobs == {}


@pytest.mark.parametrize(
    "given",
    [
        {"type": 3, "value": 3},
        {"type": "url"},
        {"value": "https://files.example/a"},
        {"type": ["url"], "value": "x"},
        {"type": None, "value": "x"},
        {"type": "url", "value": "https://files.example/a", "more": 1},
        [{"type": "url", "value": "https://files.example/a"}],
    ],
)
def test_any_other_mapping_is_a_json_value(given: Any) -> None:
    assert refs(n=given) == {"n": DataRef(given, "json")}


def test_a_wrong_ref_in_its_json_form_is_refused_where_it_stands() -> None:
    for given, field in (
        ({"type": "key", "value": "enter"}, "definition.inputs.n.value"),
        ({"type": "url", "value": "files.example"}, "definition.inputs.n.value"),
        ({"type": "utf8", "value": 1}, "definition.inputs.n.value"),
        ({"type": "utf8", "value": "x", "hash": 1}, "definition.inputs.n.hash"),
    ):
        with pytest.raises(BadDefinition) as caught:
            make(None, {"image": "a", "inputs": {"n": given}})
        assert caught.value.field == field


@pytest.mark.parametrize("size", [limits.INLINE_BYTES, limits.INLINE_BYTES + 1])
def test_the_largest_inline_value_and_one_more(size: int, tmp_path: Path) -> None:
    data = b"x" * size
    (tmp_path / "f").write_bytes(data)
    made = prepare({"a": data, "b": data.decode(), "c": tmp_path / "f"}, where="inputs")
    inline = size <= limits.INLINE_BYTES
    assert {ref.type for ref in made.refs.values()} == {"utf8" if inline else "key"}
    assert list(made.blobs) == ([] if inline else [hashlib.sha256(data).hexdigest()])


def test_large_json_becomes_a_blob_of_its_text() -> None:
    made = prepare({"a": {"b": "x" * 5000}}, where="inputs")
    (blob,) = made.blobs.values()
    assert blob.source == b'{"b":"' + b"x" * 5000 + b'"}'


def test_many_small_values_do_not_fill_the_definition() -> None:
    values = {f"{i:04}": b"x" * 4000 for i in range(100)}
    made = prepare(values, where="inputs")
    inline = [name for name, ref in made.refs.items() if ref.type == "utf8"]
    assert len(inline) == INLINE_TOTAL // 4000
    reordered = prepare(dict(reversed(values.items())), where="inputs")
    assert reordered.refs == made.refs


def test_a_folder_keeps_its_subfolders(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "sub" / "b.bin").write_bytes(b"b" * 10_000)
    (tmp_path / "in" / "link").symlink_to("a.txt")
    made = prepare(name_files([tmp_path / "in"]), where="inputs")
    assert {name: ref.type for name, ref in made.refs.items()} == {
        "in/a.txt": "utf8",
        "in/link": "utf8",
        "in/sub/b.bin": "key",
    }
    renamed = prepare(name_files({"data": tmp_path / "in"}), where="inputs")
    assert "data/sub/b.bin" in renamed.refs


def test_a_folder_that_links_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(BadDefinition, match="links to a folder that contains it"):
        prepare({"x": tmp_path}, where="inputs")


def test_what_can_not_be_an_input_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for value, words in (
        (tmp_path / "none", "can't be read: No such file"),
        (tmp_path / "pipe", "neither a file nor a folder"),
        (object(), "type object can't be an input"),
        (float("nan"), "nan and infinity can't be an input or in one: JSON has no such numbers"),
        ("\ud800", "lone surrogate"),
    ):
        with pytest.raises(BadDefinition, match=words):
            prepare({"x": value}, where="inputs")
    for name in ("../x", "/x", "", "a//b"):
        with pytest.raises(BadDefinition):
            prepare({name: "x"}, where="inputs")
    with pytest.raises(BadDefinition, match="two inputs have the name 'a'"):
        prepare({"a": "x", "./a": "y"}, where="inputs")


def test_files_are_named_by_their_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_files(["a/b.txt", Path("c")]) == {"b.txt": Path("a/b.txt"), "c": Path("c")}
    assert name_files(["."]) == {tmp_path.name: Path()}
    assert name_files({"x": "a/b"}) == {"x": Path("a/b")}
    assert name_files("one") == {"one": Path("one")}
    with pytest.raises(BadDefinition, match="two files have the name 'a'"):
        name_files(["x/a", "y/a"])


def test_fields_replace_parts_of_a_definition_and_leave_it_alone() -> None:
    given = Definition(image="alpine", env={"A": "1"}, inputs={"a": DataRef("x", "utf8")})
    made, blobs = make(
        given,
        {"env": {"B": "2"}, "inputs": {"b": "y"}, "gpus": 1, "tags": ["t"], "entrypoint": ("sh",), "workdir": "/w"},
    )
    assert made.env == {"A": "1", "B": "2"}
    assert made.inputs == {"a": DataRef("x", "utf8"), "b": DataRef("y", "utf8")}
    assert (made.tags, made.entrypoint, made.workdir) == (["t"], ["sh"], "/w")
    assert given == Definition(image="alpine", env={"A": "1"}, inputs={"a": DataRef("x", "utf8")})
    assert blobs == {}


def test_everything_that_is_left_out_stays_out_of_the_id() -> None:
    made, _ = make(None, {"image": None, "command": "x", "env": None, "files": None, "cpus": None, "tags": None})
    assert job_id(made) == job_id(Definition(command="x"))


def test_a_build_and_absolute_config_files() -> None:
    made, _ = make(
        {"build": {"context": "https://example.org/x.git"}},
        {"config_files": {"/etc/x": "1", "y": "2"}, "shm_size": "1g", "max_duration": "5m", "version": 2},
    )
    assert made.build == Build(context="https://example.org/x.git")
    assert list(made.config_files or ()) == ["/etc/x", "y"]
    other, _ = make(None, {"build": {"dockerfile": "FROM x"}})
    assert other.build == Build(dockerfile="FROM x")


@pytest.mark.parametrize(
    ("definition", "fields", "kind", "field"),
    [
        ({"imagee": "x"}, {}, BadDefinition, "definition.imagee"),
        ({"env": {"A": 1}}, {}, BadDefinition, "definition.env[...]"),
        (None, {"env": {"A": None}}, BadDefinition, "definition.env.A"),
        (None, {"memory": "2"}, BadUnit, "definition.requirements.memory"),
        (None, {"cpus": 0}, BadDefinition, "definition.requirements.cpus"),
        (None, {"image": "a b"}, BadDefinition, "definition.image"),
    ],
)
def test_a_wrong_field_is_named(definition: object, fields: object, kind: type[Exception], field: str) -> None:
    with pytest.raises(kind) as caught:
        make(definition, fields)  # type: ignore[arg-type]
    assert caught.value.field == field  # type: ignore[attr-defined]


def test_values_that_are_shorter_than_the_name_of_a_blob_always_travel_inside(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(5000):
        (tmp_path / "many" / f"{number:04}").write_bytes(b"%048d" % number)
    made = prepare({"d": tmp_path / "many"}, where="inputs")
    assert made.blobs == {}
    assert {ref.type for ref in made.refs.values()} == {"utf8"}


def test_too_many_files_are_refused_before_all_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INPUTS", 3)
    for number in range(3):
        (tmp_path / f"{number}").touch()
    assert len(prepare({"d": tmp_path}, where="inputs").refs) == 3
    os.mkfifo(tmp_path / "3-is-never-opened")
    (tmp_path / "3").touch()
    with pytest.raises(BadDefinition, match="more than 3 files: pack them into an archive"):
        prepare({"d": tmp_path}, where="inputs")


def test_names_in_unicode_stay_as_they_are_and_others_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "größe 数据"
    folder.mkdir()
    (folder / "🙂 e\u0301.txt").write_text("x")
    assert list(prepare(name_files([folder]), where="inputs").refs) == ["größe 数据/🙂 e\u0301.txt"]
    Path(os.fsdecode(bytes(folder) + b"/\xff")).write_text("x")
    with pytest.raises(BadDefinition, match=r"/\\xff' is not UTF-8: rename the file"):
        prepare(name_files([folder]), where="inputs")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a//b", "x" * 300, "a/" * 600 + "b"])
def test_hostile_names_are_no_names_of_inputs(name: str) -> None:
    with pytest.raises(BadDefinition, match="the name '"):
        prepare({name: "x"}, where="inputs")


def test_an_empty_path_never_means_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("x")
    for files in ("", [""], ("secret", ""), {"a": ""}):
        with pytest.raises(BadDefinition, match=r"files is empty.*'\.' for the current folder") as caught:
            make(None, {"files": files})
        assert caught.value.field == "definition.inputs"
    made, _ = make(None, {"files": "."})
    assert list(made.inputs or ()) == [f"{tmp_path.name}/secret"]


def test_a_ref_of_an_unknown_type_is_told_the_way_out() -> None:
    with pytest.raises(
        BadDefinition, match=r"""'URL'.*utf8, json, base64, url, key.*"type": "json", "value":"""
    ) as caught:
        prepare({"n": {"type": "URL", "value": "https://files.example/a"}}, where="definition.inputs")
    assert caught.value.field == "definition.inputs.n.type"
    wrapped = {"n": {"type": "json", "value": {"type": "circle", "value": 3}}}
    assert prepare(wrapped, where="definition.inputs").refs["n"].value == {"type": "circle", "value": 3}


def test_references_are_made_by_their_kind() -> None:
    assert asman.url("https://files.example/a") == DataRef("https://files.example/a", "url")
    assert asman.blob("a" * 64) == DataRef("a" * 64, "key")
    for make_ref, odd in ((asman.url, "files.example"), (asman.url, 3), (asman.blob, "a"), (asman.blob, None)):
        with pytest.raises(BadRequest):
            make_ref(odd)  # type: ignore[arg-type]
