"""The proxy for an address, from the variables that everybody sets."""

from __future__ import annotations

import pytest

from asman_shared.errors import Misconfigured
from asman_shared.link.proxies import proxy_for, shown

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "wss_proxy")
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variables", "url", "found"),
    [
        ({}, "https://hub.example/q/a", None),
        ({"HTTPS_PROXY": PROXY}, "https://hub.example/q/a", PROXY),
        ({"HTTPS_PROXY": PROXY}, "wss://hub.example/q/a", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http://hub.example/q/a", None),
        ({"HTTP_PROXY": PROXY}, "ws://hub.example/q/a", PROXY),
        ({"HTTP_PROXY": PROXY}, "wss://hub.example/q/a", None),
        ({"ALL_PROXY": PROXY}, "wss://hub.example/q/a", PROXY),
        ({"ALL_PROXY": "http://other:1", "HTTPS_PROXY": PROXY}, "wss://hub.example/q/a", PROXY),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "hub.example"}, "wss://hub.example/q/a", None),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "hub.example:443"}, "wss://hub.example/q/a", None),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "hub.example:8000"}, "wss://hub.example/q/a", PROXY),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "example"}, "wss://hub.example/q/a", None),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "*"}, "wss://hub.example/q/a", None),
        ({"ALL_PROXY": PROXY}, "http://127.0.0.1:8000/q/a", None),
        ({"ALL_PROXY": PROXY}, "http://127.9.9.9:8000/q/a", None),
        ({"ALL_PROXY": PROXY}, "http://[::1]:8000/q/a", None),
        ({"ALL_PROXY": PROXY}, "http://localhost:8000/q/a", None),
        ({"ALL_PROXY": "proxy.example:3128"}, "http://hub.example/q/a", PROXY),
        ({"ALL_PROXY": "http://me@proxy.example"}, "http://hub.example/q/a", "http://me:@proxy.example:80"),
        ({"ALL_PROXY": "http://[fe80::1]:3128"}, "http://hub.example/q/a", "http://[fe80::1]:3128"),
        ({"ALL_PROXY": "https://proxy.example"}, "http://hub.example/q/a", "https://proxy.example:443"),
    ],
)
def test_the_variables_decide(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, found: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == found


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("socks5h://127.0.0.1:1080", "names a SOCKS proxy"),
        ("ftp://proxy.example", "is not the address of a proxy"),
        ("http://", "is not the address of a proxy"),
        ("http://proxy.example:70000", "is not the address of a proxy"),
        ("http://proxy.example/path", "is not the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, said: str, sentence: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", said)
    with pytest.raises(Misconfigured, match=rf"\$ALL_PROXY {sentence}"):
        proxy_for("https://hub.example")


def test_what_is_shown_of_a_proxy_has_no_password() -> None:
    assert shown("http://me:secret@proxy.example:3128") == "proxy.example:3128"
    assert shown("http://[fe80::1]") == "[fe80::1]:80"
