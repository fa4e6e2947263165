"""Job ids equal those of existing clients, byte for byte, and mean exactly one run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from asman_shared import limits
from asman_shared.definition import DataRef, Definition, Requirements
from asman_shared.errors import BadDefinition, TooLarge
from asman_shared.identity import (
    canonical_bytes,
    canonical_object,
    effective,
    job_id,
    json_bytes,
    names_urls,
    signatures,
    signed,
    unsigned,
)

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "job_ids.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: str(v["id_second"])[:8])
def test_ids_equal_those_of_existing_clients(vector: dict[str, Any]) -> None:
    definition = msgspec.convert(vector["definition"], Definition)
    assert job_id(definition) == vector["id_second"]


def test_the_id_of_the_documented_example() -> None:
    made = {"command": 'echo "hello world"', "env": {}, "image": "alpine:3.19.1"}
    definition = msgspec.convert(made, Definition)
    assert job_id(definition) == "9a684c59f4270fa102f102d2aafe92d5e78ad285116f02d845e5dabbfb0ba873"


def test_a_presigned_query_does_not_enter_the_id_but_is_kept_to_fetch_with() -> None:
    plain = Definition(image="a", inputs={"f": DataRef(type="url", value="https://h/x")})
    signed = Definition(image="a", inputs={"f": DataRef(type="url", value="https://h/x/presignedurl/?sig=1")})
    assert job_id(plain) == job_id(signed)
    kept = effective(signed).inputs
    assert kept is not None
    assert kept["f"].value.endswith("sig=1")


def test_in_one_bucket_the_query_and_the_fragment_are_a_signature() -> None:
    bucket = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com"

    def of(url: str) -> Definition:
        return Definition(image="a", inputs={"f": DataRef(type="url", value=url)})

    signed_one = of(f"{bucket}/x?sig=1#part")
    assert job_id(signed_one) == job_id(of(f"{bucket}/x"))
    assert job_id(of("https://h/x?sig=1")) != job_id(of("https://h/x"))
    assert unsigned(signed_one) == of(f"{bucket}/x")
    assert signatures(signed_one) == {"inputs/f": "?sig=1#part"}
    assert signed(unsigned(signed_one), {"inputs/f": "?sig=2"}) == of(f"{bucket}/x?sig=2")
    assert effective(signed_one).inputs == signed_one.inputs


def test_what_is_not_in_the_id_does_not_reach_the_container() -> None:
    definition = Definition(image="a", env={"channel": "x", "mp-y": "1", "keep": "me"})
    assert job_id(definition) == job_id(Definition(image="a", env={"keep": "me"}))
    assert effective(definition).env == {"keep": "me"}


def test_numbers_are_written_as_ecmascript_does() -> None:
    whole = Definition(image="a", requirements=Requirements(cpus=2))
    same = Definition(image="a", requirements=Requirements(cpus=2.0))
    assert job_id(whole) == job_id(same)
    assert b'"cpus":0.5' in canonical_bytes(canonical_object(Definition(requirements=Requirements(cpus=0.5))))


def test_a_lone_surrogate_is_refused_with_a_sentence() -> None:
    with pytest.raises(BadDefinition, match="can't be written as JSON"):
        job_id(Definition(image="a", command="\ud800"))


def test_a_definition_one_byte_over_its_limit_is_refused() -> None:
    empty = len(canonical_bytes(canonical_object(Definition(command=""))))
    job_id(Definition(command="x" * (limits.DEFINITION_BYTES - empty)))
    with pytest.raises(TooLarge, match="upload large inputs as blobs"):
        job_id(Definition(command="x" * (limits.DEFINITION_BYTES - empty + 1)))


keys = st.text(max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=5))
def test_the_fast_way_to_canonical_bytes_equals_rfc_8785(made: dict[str, Any]) -> None:
    try:
        wanted = rfc8785.dumps(made)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(BadDefinition):
            canonical_bytes(made, plain=True)
    else:
        assert canonical_bytes(made, plain=True) == wanted


texts = st.none() | st.text(max_size=4)
lists = st.none() | st.lists(st.text(max_size=3), max_size=2)
definitions = st.builds(
    Definition,
    v=st.none() | st.text(max_size=2) | st.integers(0, 9),
    image=texts,
    command=texts | lists,
    entrypoint=texts | lists,
    workdir=texts,
    shm_size=texts,
    env=st.none()
    | st.dictionaries(st.text(max_size=3) | st.sampled_from(["mp-x", "edit"]), st.text(max_size=3), max_size=3),
    inputs=st.none() | st.dictionaries(keys, st.builds(DataRef, st.text(max_size=3)), max_size=2),
    max_duration=texts,
    tags=lists,
    outputs=lists,
)


@given(definitions)
def test_the_id_is_that_of_the_canonical_object_however_it_is_found(definition: Definition) -> None:
    try:
        wanted = rfc8785.dumps(canonical_object(definition))
    except UnicodeEncodeError:
        with pytest.raises(BadDefinition):
            job_id(definition)
    else:
        assert job_id(definition) == hashlib.sha256(wanted).hexdigest()


def test_what_the_id_leaves_out_of_addresses_can_be_taken_off_and_put_back() -> None:
    whole = Definition(
        image="a",
        inputs={
            "f": DataRef("https://h/x/presignedurl/abc/presignedurl/d", "url"),
            "g": DataRef("https://h/y", "url"),
            "text": DataRef("https://h/x/presignedurl/text", "utf8"),
        },
        config_files={"/f": DataRef("https://h/z/presignedurl/z", "url")},
    )
    ends = signatures(whole)
    assert ends == {"inputs/f": "/presignedurl/abc/presignedurl/d", "configFiles//f": "/presignedurl/z"}
    bare = unsigned(whole)
    assert bare.inputs is not None
    assert bare.inputs["f"] == DataRef("https://h/x", "url")
    assert bare.inputs["text"].value == "https://h/x/presignedurl/text"
    assert signatures(bare) == {}
    assert job_id(bare) == job_id(whole)
    assert signed(bare, ends) == whole
    assert signed(whole, {"inputs/g": "/presignedurl/new", "inputs/none": "x"}).inputs == {
        **bare.inputs,
        "g": DataRef("https://h/y/presignedurl/new", "url"),
    }


def test_a_definition_without_addresses_is_left_as_it_is() -> None:
    plain = Definition(image="a", inputs={"f": DataRef("x", "utf8")})
    assert unsigned(plain) is plain
    assert not names_urls(plain)


@pytest.mark.parametrize(
    ("value", "other"),
    [({"b": 1, "a": [1.0, 2]}, {"a": [1, 2.0], "b": 1.0}), (1e3, 1000), (-0.0, 0), ("é\u2028", "é\u2028")],
)
def test_one_id_is_one_sequence_of_bytes(value: object, other: object) -> None:
    assert job_id(Definition(inputs={"f": DataRef(value, "json")})) == job_id(
        Definition(inputs={"f": DataRef(other, "json")})
    )
    assert json_bytes(value) == json_bytes(other)


def test_a_value_that_only_other_programs_make_is_written_all_the_same() -> None:
    assert json_bytes(2**60) == b"1152921504606846976"
