"""Ids by both generations' rules equal those of existing clients, and those that a JavaScript program finds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from asman_server.dialect.ids import as_javascript, first_id, identify, read
from asman_shared import limits
from asman_shared.errors import BadDefinition, TooLarge
from tests.support.node import run_node

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "data" / "job_ids.json").read_text())
SCRIPT = ROOT / "support" / "job_ids.js"

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
        {"value": st.sampled_from(["https://h/a", "https://h/a/presignedurl/?x=1"]), "type": st.just("url")}
    ),
)
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
    return first_id(value), identify(value).job


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


def test_what_means_nothing_here_is_passed_over() -> None:
    sent = {"image": "a", "x": 1, "build": None, "requirements": {"cpus": None, "y": 2}, "inputs": {"f": None}}
    assert msgspec.to_builtins(read(sent)) == {"image": "a", "requirements": {}, "inputs": {}}
    null = {"inputs": {"f": {"type": "json", "value": None, "z": 1}}}
    assert msgspec.to_builtins(read(null)) == {"inputs": {"f": {"value": None, "type": "json"}}}


@pytest.mark.parametrize("bad", [None, 1, "x", [], {"image": 7}, {"inputs": {"f": "text"}}, {"env": {"A": 1}}])
def test_what_is_no_definition_is_refused_with_its_field(bad: Any) -> None:
    with pytest.raises(BadDefinition) as refused:
        identify(bad)
    assert refused.value.field is not None
    assert refused.value.field.startswith("definition")


def test_bounds_of_nesting_size_and_numbers() -> None:
    deep: Any = 1
    for _ in range(97):
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
