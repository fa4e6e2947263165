"""The one rule for queue names, and what becomes of an address that a person writes."""

from __future__ import annotations

import copy
import json
import pickle
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from asman_server.access import access
from asman_shared.address import (
    ASCII_SPACE,
    OLDER_NAME,
    QUEUE_NAME,
    Address,
    check_queue_name,
    is_queue_name,
    job_address,
    job_key,
    parse_address,
    parse_hub,
    queue_named,
    trimmed,
    words_of,
)
from asman_shared.errors import BadRequest

ROOT = Path(__file__).parents[3]
ROUTE = ROOT / "web" / "src" / "route.ts"


@pytest.mark.parametrize("name", ["a", "0", "a.b_c-D9", "x" * 128, "local", "old-" + "0" * 32])
def test_a_name_begins_with_a_letter_or_digit(name: str) -> None:
    assert check_queue_name(name) == name
    assert access(name).queue == name
    assert parse_address(name, "http://h") == parse_address(f"http://h/q/{name}") == Address("http://h", name)


@pytest.mark.parametrize(
    "name",
    [
        ".hidden",
        "-x",
        "_x",
        "",
        "a/b",
        "x" * 129,
        "a\n",
        "ä" * 129,
        " a b",
        "a b ",
        "a?b",
        "#",
        "..",
        "a%20b",
        "\U0001f600",
    ],
)
def test_a_name_that_the_hub_refuses_is_refused_by_all(name: str) -> None:
    assert not is_queue_name(name)
    for refuse in (check_queue_name, queue_named, access):
        with pytest.raises(BadRequest, match="letter or digit"):
            refuse(name)


@pytest.mark.parametrize("name", [".hidden", "-x", "_x"])
def test_an_address_with_such_a_name_is_refused(name: str) -> None:
    for text in (name, f"https://hub.example/q/{name}"):
        with pytest.raises(BadRequest, match="letter or digit"):
            parse_address(text, "https://hub.example")


NAMED: dict[str, str | None] = {
    row["text"]: row["queue"] for row in json.loads((ROOT / "tests/data/queue_names.json").read_text())
}
"""The queue that a text names, with or without white space around it, or None; the page's tests read this table too."""
OLDER = {text: queue for text, queue in NAMED.items() if queue and queue.startswith("old-") and text == trimmed(text)}
"""Names that links of earlier services have."""


@pytest.mark.parametrize("name", list(OLDER))
def test_an_older_name_stands_for_the_same_queue_everywhere(name: str) -> None:
    alias = queue_named(name)
    assert alias == OLDER[name]
    assert is_queue_name(alias)
    assert access(name).queue == queue_named(alias) == alias
    assert parse_address(name, "http://h") == Address("http://h", alias)
    for text in (name, quote(name)):
        assert parse_address(f"http://h/q/{text}") == Address("http://h", alias)
    with pytest.raises(BadRequest, match="letter or digit"):
        check_queue_name(name)  # a new queue gets no such name


@pytest.mark.parametrize("text", list(NAMED))
def test_a_name_is_read_without_white_space_of_ascii_around_it_and_with_all_other_blanks(text: str) -> None:
    queue = NAMED[text]
    if queue is None:
        with pytest.raises(BadRequest, match="letter or digit"):
            parse_address(text, "http://h")
    else:
        assert parse_address(text, "http://h") == Address("http://h", queue)
        if text == trimmed(text):
            assert access(text).queue == queue
            assert parse_address(f" http://h/q/{text}\n") == Address("http://h", queue)
        else:
            with pytest.raises(BadRequest, match="letter or digit"):
                access(text)


def test_white_space_of_ascii_divides_a_list_of_addresses_and_other_blanks_do_not() -> None:
    assert words_of("\n a\t\u00a0b\r\nc\u3000d \ufeffe\n") == ["a", "\u00a0b", "c\u3000d", "\ufeffe"]
    assert words_of(" a,b, c", ASCII_SPACE + ",") == ["a", "b", "c"]
    assert words_of(" ") == words_of("") == []


def test_the_page_has_the_same_rule() -> None:
    (pattern,) = re.findall(r"const QUEUE_NAME = /\^(.*)\$/;", ROUTE.read_text())
    assert pattern == QUEUE_NAME
    (pattern,) = re.findall(r"const OLDER_NAME =\s*/\^(.*)\$/;", ROUTE.read_text())
    assert pattern == OLDER_NAME
    (space,) = re.findall(r'const ASCII_SPACE = "(.*)";', ROUTE.read_text())
    assert space.encode().decode("unicode_escape") == ASCII_SPACE


@pytest.mark.parametrize("queue", ["a", "client", "worker"])
@pytest.mark.parametrize("socket", ["", "/client", "/worker", "/client/"])
def test_the_address_of_a_websocket_names_its_queue(queue: str, socket: str) -> None:
    assert parse_address(f"wss://h/p/q/{queue}{socket}") == Address("https://h/p", queue)


@pytest.mark.parametrize("text", ["", "  ", "/q/secret", "http://h:99999/q/secret", "ftp://h/q/secret", "http://"])
def test_a_hub_needs_an_address_and_the_error_shows_no_queue(text: str) -> None:
    with pytest.raises(BadRequest, match="is not the address of a hub") as caught:
        parse_hub(text)
    assert "secret" not in caught.value.message


JOB = "0123456789abcdef" * 4


def test_a_key_is_the_same_in_all_languages() -> None:
    assert job_key("links-of-a-queue", JOB) == "51abd4cf091245a9901306cdd4880d20"


def test_a_key_is_of_one_job_of_one_queue() -> None:
    keys = {job_key(links, job) for links in ("a", "b") for job in (JOB, "f" * 64)}
    assert len(keys) == 4
    assert job_address(JOB, "a") == f"{JOB}~{job_key('a', JOB)}"


def test_a_hub_that_tells_no_secret_has_addresses_without_keys() -> None:
    assert job_address(JOB, "") == JOB
    assert Address("https://h", "q").job_url(JOB) == f"https://h/j/{JOB}"
    assert Address("https://h", "q").job_url(JOB, "a") == f"https://h/j/{JOB}~{job_key('a', JOB)}"


def test_an_address_is_a_value_that_never_changes() -> None:
    one, same = Address("http://h", "a"), Address("http://h", "a")
    assert (one, hash(one), {one: 1}[same]) == (same, hash(same), 1)
    assert one not in (Address("http://h", "b"), Address("http://i", "a"), ("http://h", "a"))
    assert repr(one) == "Address(hub='http://h', queue='a')"
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    with pytest.raises(AttributeError, match="never changes"):
        one.queue = "b"
    assert one.queue == "a"
