"""Addresses that strangers name, judged by their form."""

from __future__ import annotations

import pytest

from asman_shared.validation import inspect
from asman_shared.web_address import malformed


@pytest.mark.parametrize(
    "url",
    [
        "http://h/x",
        "https://h.example.:443/a b?c=d#e",
        "http://h:/x",
        "http://[::1]:8000/x",
        "https://name:secret@h/",
        "http://under_score/",
        "https://bücher.example/ü",
        "HTTP://H/",
        "http://10.0.0.1",
    ],
)
def test_an_address_that_can_be_reached_has_no_fault(url: str) -> None:
    assert malformed(url) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://h:port/x", "port"),
        ("http://h:-1/x", "port"),
        ("http://h:0/x", "port"),
        ("http://h:65536/x", "port"),
        ("http://h:80:80/x", "port"),
        ("http://", "no host"),
        ("http:///x", "no host"),
        ("http://:80/x", "no host"),
        ("https://name@/x", "no host"),
        ("http://a b/x", "host's name"),
        ("http://a%20b/x", "host's name"),
        ("http://a\u00a0b/x", "host's name"),
        ("http://a..b/x", "host's name"),
        ("http://" + "x" * 64 + "/", "host's name"),
        ("http://[::1/x", "host can't be read"),
        ("http://h/\n", "control character"),
        ("http://h\0/", "control character"),
        ("ftp://h/x", "must start with"),
        ("h/x", "must start with"),
    ],
)
def test_a_fault_of_an_address_is_told(url: str, why: str) -> None:
    assert why in str(malformed(url))


def test_the_input_whose_address_is_wrong_is_named_with_the_fault() -> None:
    refs = {"good": {"type": "url", "value": "/f/x"}, "bad": {"type": "url", "value": "http://h:port/x"}}
    _, problems = inspect({"image": "a", "inputs": refs})
    assert [(problem.field, problem.message) for problem in problems] == [
        (
            "definition.inputs.bad.value",
            "the value of a url ref is not an address that can be fetched: its port must be a number from 1 to 65535",
        )
    ]
