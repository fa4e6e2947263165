"""The one rule for queue names, and what becomes of an address that a person writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asman_server.access import access
from asman_shared.address import (
    QUEUE_NAME,
    Address,
    check_queue_name,
    is_queue_name,
    job_address,
    job_key,
    parse_address,
    parse_hub,
)
from asman_shared.errors import BadRequest

ROUTE = Path(__file__).parents[3] / "web" / "src" / "route.ts"


@pytest.mark.parametrize("name", ["a", "0", "a.b_c-D9", "x" * 128, "local"])
def test_a_name_begins_with_a_letter_or_digit(name: str) -> None:
    assert check_queue_name(name) == name
    assert access(name).queue == name
    assert parse_address(name, "http://h") == parse_address(f"http://h/q/{name}") == Address("http://h", name)


@pytest.mark.parametrize("name", [".hidden", "-x", "_x", "", "a b", "a/b", "x" * 129, "a\n", "ä"])
def test_a_name_that_the_hub_refuses_is_refused_by_all(name: str) -> None:
    assert not is_queue_name(name)
    for refuse in (check_queue_name, access):
        with pytest.raises(BadRequest, match="letter or digit"):
            refuse(name)


@pytest.mark.parametrize("name", [".hidden", "-x", "_x"])
def test_an_address_with_such_a_name_is_refused(name: str) -> None:
    for text in (name, f"https://hub.example/q/{name}"):
        with pytest.raises(BadRequest, match="letter or digit"):
            parse_address(text, "https://hub.example")


def test_the_page_has_the_same_rule() -> None:
    (pattern,) = re.findall(r"const QUEUE_NAME = /\^(.*)\$/;", ROUTE.read_text())
    assert pattern == QUEUE_NAME


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
