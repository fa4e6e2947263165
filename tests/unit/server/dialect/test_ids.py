"""Ids by both generations' rules equal those of existing clients, and those that a JavaScript program finds."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from asman_server.dialect import ids
from asman_server.dialect.ids import as_javascript, duration, first_id, identify, read
from asman_shared import limits
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition, TooLarge
from tests.support.node import run_node

ROOT = Path(__file__).parents[3]
DATA = ROOT / "data"
VECTORS = [
    *json.loads((DATA / "job_ids.json").read_text()),
    *json.loads((DATA / "job_ids_json_dialect.json").read_text()),  # with members that native definitions don't have
]
SCRIPT = ROOT / "support" / "job_ids.js"

BUCKET = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
refs = st.one_of(
    st.fixed_dictionaries({"value": text}, optional={"type": st.sampled_from(["utf8", "base64", None]), "hash": text}),
    st.fixed_dictionaries({"value": values, "type": st.just("json")}, optional={"hash": st.none() | text}),
    st.fixed_dictionaries(
        {
            "value": st.sampled_from(
                [
                    "https://h/a", "https://h/a/presignedurl/?x=1", "https://h/a?x=1#y", f"{BUCKET}/a?x=1#y",
                    f"{BUCKET}/a#y?x", f"{BUCKET}.example/b?\nx", f"{BUCKET}/a/presignedurl/?x=1", BUCKET,
                ]
            ),
            "type": st.just("url"),
        },
        optional={"hash": text, "size": st.integers(0, 9), "name": st.none() | text},
    ),
)  # fmt: skip
files = st.none() | st.dictionaries(st.sampled_from(["a.txt", "é", "𝒳", "\ufb33", "b/c"]), refs, max_size=3)
env_names = st.sampled_from(["A", "channel", "CHANNEL", "mp-x", "mp_y", "readonly", "edit", "fs-path", "mpx"]) | text
optional_text = st.none() | text
definitions: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "v": st.none() | text | st.integers(-(2**53) + 1, 2**53 - 1),
        "image": optional_text,
        "command": optional_text | st.lists(text, max_size=3),
        "entrypoint": optional_text,
        "workdir": optional_text,
        "shmSize": optional_text,
        "maxDuration": optional_text,
        "tags": st.none() | st.lists(text, max_size=3),
        "env": st.none() | st.dictionaries(env_names, text, max_size=4),
        "inputs": files,
        "configFiles": files,
        "build": st.none() | st.fixed_dictionaries({}, optional={"context": optional_text, "buildArgs": st.just([])}),
        "requirements": st.none()
        | st.fixed_dictionaries({}, optional={"cpus": st.none() | st.sampled_from([1, 1.0, 0.5, 1e-7])}),
        "nobody": values,
    },
)


def javascript(many: list[Any]) -> list[tuple[str, str]]:
    ran = run_node(SCRIPT, stdin=json.dumps(many))
    assert ran.returncode == 0, ran.stderr
    return [(first, second) for first, second in json.loads(ran.stdout)]


def python(definition: Any) -> tuple[str, str]:
    value = as_javascript(definition)
    return first_id(value), ids._second_as_sent(value, read(value)) or identify(value).job


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: str(v["id_first"])[:8])
def test_ids_equal_those_of_existing_clients(vector: dict[str, Any]) -> None:
    assert python(vector["definition"]) == (vector["id_first"], vector["id_second"])


def test_the_vectors_in_javascript() -> None:
    found = javascript([vector["definition"] for vector in VECTORS])
    assert found == [(vector["id_first"], vector["id_second"]) for vector in VECTORS]


@settings(max_examples=12, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(definitions, min_size=20, max_size=60))
def test_random_definitions_have_the_same_ids_in_javascript(many: list[Any]) -> None:
    # Through JSON text, as they come over the wire: each side reads the numbers for itself.
    sent = json.dumps(many)
    assert [python(one) for one in msgspec.json.decode(sent.encode())] == javascript(many)


def test_a_supplied_id_is_accepted_by_either_rule_and_by_no_other() -> None:
    page = {"image": "a", "env": {}}
    first, second = python(page)
    assert first != second
    assert identify(page, first).alias == first
    assert identify(page, first).job == identify(page).job == second
    assert identify(page, second).alias == ""
    with pytest.raises(BadDefinition, match="is not this definition's"):
        identify(page, "0" * 64)
    with pytest.raises(BadDefinition, match="is not this definition's"):
        identify(page, 7)  # type: ignore[arg-type]


def test_of_a_ref_a_first_id_leaves_out_the_hash_alone_and_neither_id_the_signature_of_an_address() -> None:
    def ids(**ref: Any) -> tuple[str, str]:
        return python({"image": "a", "inputs": {"f": ref}})

    plain = ids(value="x")
    assert ids(value="x", hash="h") == plain
    first, second = ids(value="x", size=1)
    assert (first == plain[0], second) == (False, plain[1])
    for end in ("?sig=1", "#part", "?a#b", "#a?b", "/presignedurl/?c"):
        assert ids(type="url", value=f"{BUCKET}/f{end}") == ids(type="url", value=f"{BUCKET}/f")
        other = ids(type="url", value=f"https://h/f{end}") == ids(type="url", value="https://h/f")
        assert other is end.startswith("/presignedurl/")


def test_what_means_nothing_here_is_passed_over() -> None:
    sent = {"image": "a", "x": 1, "build": None, "requirements": {"cpus": None, "y": 2}, "inputs": {"f": None}}
    assert msgspec.to_builtins(read(sent)) == {"image": "a", "requirements": {}, "inputs": {}}
    null = {"inputs": {"f": {"type": "json", "value": None, "z": 1}}}
    assert msgspec.to_builtins(read(null)) == {"inputs": {"f": {"value": None, "type": "json"}}}


@pytest.mark.parametrize(
    "bad", [None, 1, "x", [], {"image": 7}, {"inputs": {"f": "text"}}, {"env": {"A": None}}, {"env": {"A": []}}]
)
def test_what_is_no_definition_is_refused_with_its_field(bad: Any) -> None:
    with pytest.raises(BadDefinition) as refused:
        identify(bad)
    assert refused.value.field is not None
    assert refused.value.field.startswith("definition")


def test_bounds_of_nesting_size_and_numbers() -> None:
    deep: Any = 1
    for _ in range(limits.VALUE_DEPTH):
        deep = [deep]
    identify({"inputs": {"f": {"type": "json", "value": deep}}})
    with pytest.raises(BadDefinition, match="nested at most"):
        identify({"inputs": {"f": {"type": "json", "value": [[[deep]]]}}})
    with pytest.raises(BadDefinition, match="too large"):
        identify({"inputs": {"f": {"type": "json", "value": 10**400}}})
    with pytest.raises(TooLarge):
        first_id({"image": "x" * limits.DEFINITION_BYTES})
    with pytest.raises(BadDefinition, match="can't be written as JSON"):
        first_id({"image": "\ud800"})


def test_the_order_of_names_is_that_of_utf_16() -> None:
    names = ["\ufb33", "𝒳", "é", "a"]
    random.Random(1).shuffle(names)
    sent = {"env": dict.fromkeys(names, "x")}
    assert [python(sent)] == javascript([sent])


@pytest.mark.parametrize("values", [["é"] * 400_000, [1.5] * 400_000, [1e6] * 180_000], ids=["text", "floats", "whole"])
def test_the_slow_encoding_is_not_begun_for_a_definition_that_is_too_large(
    values: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(_value: object) -> bytes:
        raise AssertionError("begun")

    monkeypatch.setattr(rfc8785, "dumps", begun)
    definition = {"inputs": {"a": {"type": "json", "value": values}}}
    with pytest.raises(TooLarge, match="as it was sent"):
        identify({"image": "a", "more": [values] * 9})
    for supplied in (None, "0" * 64):
        with pytest.raises(TooLarge, match="the definition has at least"):
            identify(definition, supplied)
    with pytest.raises(TooLarge, match="the definition has at least"):
        first_id(definition)


def test_a_wrong_id_of_a_definition_without_floats_does_not_cost_the_slow_encoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def begun(_value: object) -> bytes:
        raise AssertionError("begun")

    monkeypatch.setattr(rfc8785, "dumps", begun)
    with pytest.raises(BadDefinition, match="is not this definition's"):
        identify(
            {"image": "a", "env": {f"N{number}": "x" for number in range(1000)}, "more": [1, None, True]}, "0" * 64
        )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_a_definition_within_its_limit_is_never_taken_for_a_larger_one(value: Any) -> None:
    value = as_javascript(value)
    canonical = len(rfc8785.dumps(value))
    assert ids._least(value, ids._floats(value)) <= canonical


OLDER: dict[str, Any] = {
    "image": "a",
    "env": {"N": 1, "B": True, "F": 1.5, "mp_x": "x"},
    "maxDuration": "10 min",
    "requirements": {"cpus": "2", "gpus": "1", "maxDuration": "1 hour"},
    "v": 1,
}


def test_a_definition_in_older_forms_is_the_job_of_the_newer_forms_and_found_by_the_ids_of_what_was_sent() -> None:
    newer = {
        "image": "a",
        "env": {"N": "1", "B": "true", "F": "1.5"},
        "maxDuration": "600000ms",
        "requirements": {"cpus": 2, "gpus": 1, "maxDuration": "3600000ms"},
        "v": 1,
    }
    job = identify(newer).job
    second = hashlib.sha256(rfc8785.dumps({**OLDER, "env": {"N": 1, "B": True, "F": 1.5}})).hexdigest()
    for supplied in (second, first_id(OLDER)):
        found = identify(OLDER, supplied)
        assert (found.job, found.key) == (job, supplied)
    assert identify(OLDER).key == identify(OLDER, job).key == job
    with pytest.raises(BadDefinition, match="is not this definition's"):
        identify(OLDER, "0" * 64)


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("20m", "20m"),
        ("1h30m", "1h30m"),
        ("1.5h", "5400000ms"),
        ("10 min", "600000ms"),
        ("20M", "1200000ms"),
        ("2 days", "172800000ms"),
        ("1 hr, 20 mins", "4800000ms"),
        ("1w", "604800000ms"),
        ("600000", "600000ms"),
        (600_000, "600000ms"),
        (".5h", "1800000ms"),
        ("1000", "1000ms"),
        ("999", "999"),
        ("1h30", "1h30"),
        (20, "20"),
        ("0", "0"),
        ("", ""),
        ("soon", "soon"),
        ("-5m", "-5m"),
        ("5 parsecs", "5 parsecs"),
        (True, True),
        (1e30, "1e+30"),
        ("1" * 65, "1" * 65),
        ("999999999999999w", "999999999999999w"),
    ],
)
def test_a_duration_is_read_in_every_form_that_earlier_services_took(sent: Any, read_as: Any) -> None:
    assert duration(sent) == read_as


@pytest.mark.parametrize("text", ["", "two", "nan", "inf", "1" * 300])
def test_a_text_that_is_no_number_is_no_number_of_cpus(text: str) -> None:
    with pytest.raises(BadDefinition, match=r"cpus|Expected"):
        check(read({"requirements": {"cpus": text}}))
