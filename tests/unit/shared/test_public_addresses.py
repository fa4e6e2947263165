"""Which addresses strangers may name."""

from __future__ import annotations

import pytest

from asman_shared.public_addresses import closed, malformed
from asman_shared.validation import inspect

CLOSED = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "::1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "::": "unspecified",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "::ffff:10.0.0.1": "private",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fec0::1": "private",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b:1::1": "private",
    "2002:0a00:0001::1": "private",
    "100.64.0.1": "carrier-grade NAT",
    "100.100.100.200": "carrier-grade NAT",
    "169.254.169.254": "link-local",
    "::ffff:169.254.169.254": "link-local",
    "64:ff9b::a9fe:a9fe": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "168.63.129.16": "cloud metadata",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "ff02::1": "multicast",
    "192.0.0.192": "reserved",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "198.51.100.1": "reserved",
    "203.0.113.1": "reserved",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::7f00:1": "reserved",
    "100::1": "reserved",
    "2001::1": "reserved",
    "2001:db8::1": "reserved",
    "3fff::1": "reserved",
    "5f00::1": "reserved",
    "4000::1": "reserved",
    "not an address": "not an address",
}
OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82b::200e",
    "64:ff9b::8.8.8.8",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize(("address", "why"), CLOSED.items())
def test_what_is_not_of_the_open_internet_is_closed(address: str, why: str) -> None:
    assert closed(address) == why


@pytest.mark.parametrize("address", OPEN)
def test_the_public_internet_is_open(address: str) -> None:
    assert closed(address) is None


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


@pytest.mark.parametrize("value", ["//[x", "//other.example/x", "//", "///f/x"])
def test_an_address_on_the_hub_begins_with_one_slash(value: str) -> None:
    _, problems = inspect({"image": "a", "inputs": {"x": {"type": "url", "value": value}}})
    assert [problem.field for problem in problems] == ["definition.inputs.x.value"]


@pytest.mark.parametrize("url", ["https://a.example[2606:4700::1]/", "https://[2606:4700::1]b.example/x"])
def test_text_around_an_address_in_brackets_is_malformed(url: str) -> None:
    assert malformed(url) is not None
