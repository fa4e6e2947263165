"""Parsing of queue addresses."""

from __future__ import annotations

import os

import pytest

import asman
from asman.address import VARIABLES, Address, mistyped, new_queue_name, parse_address, parse_hub
from asman.cli import known
from asman_server.config import HubConfig
from asman_shared.errors import BadRequest, NotFound
from asman_worker.config import WorkerConfig


@pytest.mark.parametrize(
    ("text", "hub", "queue"),
    [
        ("https://hub.example/q/abc", "https://hub.example", "abc"),
        ("http://localhost:8000/q/abc/", "http://localhost:8000", "abc"),
        ("ws://localhost:8000/q/abc", "http://localhost:8000", "abc"),
        ("wss://hub.example/q/a.b_c-D9", "https://hub.example", "a.b_c-D9"),
        ("localhost:8000/q/abc", "http://localhost:8000", "abc"),
        ("https://hub.example/behind/proxy/q/abc", "https://hub.example/behind/proxy", "abc"),
        ("https://hub.example/q/abc#?queue=x", "https://hub.example", "abc"),
        ("https://hub.example/q/a%2Eb", "https://hub.example", "a.b"),
        ("http://[::1]:8000/q/abc", "http://[::1]:8000", "abc"),
        ("  http://h/q/abc \n", "http://h", "abc"),
    ],
)
def test_a_url_names_hub_and_queue(text: str, hub: str, queue: str) -> None:
    assert parse_address(text) == Address(hub, queue)


def test_a_name_needs_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match="ASMAN_HUB"):
        parse_address("abc")
    assert parse_address("abc", "https://hub.example/") == Address("https://hub.example", "abc")
    monkeypatch.setenv("ASMAN_HUB", "localhost:8000")
    assert parse_address("abc") == Address("http://localhost:8000", "abc")
    assert parse_address("abc", "other:1").hub == "http://other:1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a#b",
        "x" * 129,
        "https://hub.example/abc",
        "https://hub.example/q/",
        "https://hub.example/q/a/b",
        "https://hub.example/q/a%20",
        "ftp://hub.example/q/abc",
        "https:///q/abc",
        "http://host:99999/q/abc",
        "http://host:port/q/abc",
        "http://host:0/q/abc",
        "q/abc",
    ],
)
def test_what_is_no_address_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_address(text, "http://hub.example")
    assert len(caught.value.message) > 20
    assert "\n" not in caught.value.message


def test_urls_of_a_queue() -> None:
    address = parse_address("https://hub.example/p/q/abc")
    assert address.client_socket == "wss://hub.example/p/q/abc/client"
    assert Address("http://h:1", "q").client_socket == "ws://h:1/q/q/client"
    assert address.job_url("00") == "https://hub.example/p/j/00"
    assert address.page == "https://hub.example/p/#?queue=abc"
    assert address.absolute("/b/1?sig=2") == "https://hub.example/p/b/1?sig=2"
    assert address.absolute("b/1") == "https://hub.example/p/b/1"
    assert address.absolute("https://s3.example/b") == "https://s3.example/b"
    assert str(address) == "https://hub.example/p/q/abc"


def test_a_hub_is_read_like_a_queue() -> None:
    assert parse_hub("wss://hub.example/") == "https://hub.example"
    with pytest.raises(BadRequest, match="not the address of a hub"):
        parse_hub("http://hub.example/?x=1")


def test_new_names_are_unguessable_and_valid() -> None:
    names = {new_queue_name() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 32 and parse_address(name, "http://h").queue == name for name in names)


@pytest.mark.parametrize("set_", [True, False])
def test_an_address_without_a_hub_never_takes_the_queue_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, set_: bool
) -> None:
    monkeypatch.delenv("ASMAN_QUEUE", raising=False)
    if set_:
        monkeypatch.setenv("ASMAN_QUEUE", "http://real.example/q/secretname")
    for read, text in ((parse_hub, ""), (parse_hub, "/q/abc"), (parse_address, "/q/abc")):
        with pytest.raises(BadRequest, match="is not the address of a hub") as caught:
            read(text)
        assert "secretname" not in str(caught.value)
        assert "abc" not in str(caught.value)


def test_an_address_is_shown_without_the_name_that_grants_everything() -> None:
    address = parse_address("https://hub.example/q/very-secret")
    assert "secret" not in repr(address) + repr([address]) + repr(Address("https://hub.example", "very-secret"))
    assert "hub.example" in repr(address)
    assert address.url == str(address) == "https://hub.example/q/very-secret"
    assert len({address, parse_address("very-secret", "hub.example:443")}) == 2


@pytest.mark.parametrize(
    ("page", "queue"),
    [
        ("http://hub.example/#?queue=abc", "http://hub.example/q/abc"),
        ("https://hub.example/behind/#/jobs?state=Failed&queue=a.b", "https://hub.example/behind/q/a.b"),
        ("http://hub.example:8000#?queue=~" + "a" * 52, "http://hub.example:8000/q/~" + "a" * 52),
    ],
)
def test_the_address_of_a_queues_page_names_the_queue(page: str, queue: str) -> None:
    assert parse_address(page).url == queue
    assert parse_address(parse_address(page).page).url == queue


def test_a_users_own_name_for_a_queue_names_it_in_a_program_as_in_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    known.remember("http://h/q/secret", "lab")
    monkeypatch.setenv("ASMAN_QUEUE", "@lab")
    assert parse_address().url == asman.connect("@lab").url == "http://h/q/secret"
    with pytest.raises(NotFound, match="no queue named 'home'"):
        asman.connect("@home")


def test_a_program_that_gives_a_bare_name_is_told_the_argument_for_the_hub() -> None:
    with pytest.raises(BadRequest, match="hub=…, or set ASMAN_HUB") as caught:
        asman.connect("lab")
    assert "--hub" not in caught.value.message


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("os.environ", {"HOME": "/", "QUEUE": "x"})
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ASMAN_QEUE", "ASMAN_QUEUE"),
        ("ASMAN_QUEUES", "ASMAN_QUEUE"),
        ("asman_queue", "ASMAN_QUEUE"),
        ("ASMAN_HBU", "ASMAN_HUB"),
        ("ASMAN_IMGE", "ASMAN_IMAGE"),
        ("ASMAN_CONFIG_HOMES", "ASMAN_CONFIG_HOME"),
    ],
)
def test_a_mistyped_variable_is_told_with_the_one_that_is_meant(
    variables: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    variables.setitem(os.environ, name, "http://127.0.0.1:8000/q/a")
    assert mistyped() == [(name, meant)]


def test_no_variable_of_a_hub_or_worker_is_taken_for_a_mistyped_one(variables: pytest.MonkeyPatch) -> None:
    names = [f"ASMAN_{name.upper()}" for name in HubConfig.model_fields]
    names += [f"ASMAN_WORKER_{name.upper()}" for name in WorkerConfig.model_fields]
    variables.setattr("os.environ", dict.fromkeys([*names, *VARIABLES], ""))
    assert mistyped() == []


def test_a_missing_queue_is_told_with_the_variable_that_was_meant_to_name_it(variables: pytest.MonkeyPatch) -> None:
    variables.setitem(os.environ, "ASMAN_QEUE", "http://127.0.0.1:8000/q/a")
    with pytest.raises(BadRequest, match=r"set ASMAN_QUEUE \(there is ASMAN_QEUE\)"):
        parse_address()
