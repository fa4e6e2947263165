"""Derived keys: the same in Python and on the page, and no way from a key to the name or to another key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from asman_shared.address import QUEUE_KEY, Address, is_queue_key, parse_address, queue_or_key
from asman_shared.errors import BadRequest, Forbidden
from asman_shared.keys.derived import KeyKind, derived_key, derived_keys, key_addresses

ROOT = Path(__file__).parents[4]
VECTORS = json.loads((ROOT / "tests/data/queue_keys.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"][:20])
def test_the_keys_to_a_queue_are_those_of_the_vectors(vector: dict[str, dict[str, str]]) -> None:
    assert derived_keys(str(vector["name"])) == vector["keys"]


def test_keys_have_a_form_that_no_name_has() -> None:
    for vector in VECTORS:
        for key in vector["keys"].values():
            assert re.fullmatch(QUEUE_KEY, key)
            assert is_queue_key(key)
            assert queue_or_key(key) == key
    assert len({key for vector in VECTORS for key in vector["keys"].values()}) == 4 * len(VECTORS)


@pytest.mark.parametrize("wrong", ["~", "~a", "~" + "a" * 51, "~" + "a" * 53, "~" + "A" * 52, "~" + "1" * 52, "~~"])
def test_what_only_looks_like_a_key_is_refused(wrong: str) -> None:
    assert not is_queue_key(wrong)
    with pytest.raises(BadRequest, match="not the key of a queue") as caught:
        parse_address(f"https://hub.example/q/{wrong}")
    assert caught.value.field == "queue"


def test_a_key_makes_no_keys() -> None:
    with pytest.raises(Forbidden, match="the queue's name alone"):
        derived_key(derived_key("foo", KeyKind.READ), KeyKind.SUBMIT)


def test_the_queue_local_has_another_name_of_which_keys_are_made() -> None:
    with pytest.raises(Forbidden, match="asman up"):
        derived_keys("local")


def test_an_older_name_has_the_keys_of_its_queue() -> None:
    assert derived_keys("a b") == derived_keys("old-c8687a08aa5d6ed2044328fa6a697ab8")


def test_a_key_stands_in_the_place_of_the_name_in_addresses() -> None:
    key = derived_key("foo", KeyKind.WORK)
    made = key_addresses(Address("https://hub.example/x", "foo"))[KeyKind.WORK]
    assert made == Address("https://hub.example/x", key)
    assert made.is_key
    for text in (
        made.url,
        f"{made.url}/worker",
        f"wss://hub.example/x/q/{key}/client",
        f"{made.url}/".replace("~", "%7E"),
    ):
        assert parse_address(text) == made
    assert parse_address(key, "https://hub.example/x") == made
    assert not Address("https://hub.example", "foo").is_key


def test_the_page_knows_the_same_form_of_keys() -> None:
    source = (ROOT / "web/src/route.ts").read_text()
    assert f"/^{QUEUE_KEY}$/" in source
