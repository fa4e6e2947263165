"""What trusted proxies say about a request counts; what anybody else says does not."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from asman_server.config import load_config
from asman_server.front import PREFIX, TrustedProxies, address_of, parse_trusted, sender
from asman_server.front.proxies import MOST_NETWORKS
from asman_shared.errors import BadRequest


async def _receive() -> Message:
    raise AssertionError("nothing is received")


async def _send(_message: Message) -> None:
    raise AssertionError("nothing is sent")


async def seen(
    peer: str, trusted: str = "", kind: str = "http", /, **headers: str | list[str]
) -> tuple[str, str, str, str]:
    """The sender, scheme, host and prefix that the hub sees."""
    pairs = [(b"host", b"inner:8000")]
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            pairs.append((f"x-forwarded-{name.rstrip('_')}".encode(), value.encode()))
    scheme = "http" if kind == "http" else "ws"
    scope: dict[str, Any] = {
        "type": kind, "scheme": scheme, "client": (peer, 1234), "headers": pairs, "path": "/", "query_string": b"",
        "server": None,
    }  # fmt: skip
    found: list[tuple[str, str, str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        connection = HTTPConnection(scope)
        found.append((sender(connection), scope["scheme"], connection.headers["host"], scope.get(PREFIX, "")))

    await TrustedProxies(app, trusted)(scope, _receive, _send)
    return found[0]


EVERY = {"for_": "203.0.113.9", "proto": "https", "host": "hub.example", "prefix": "/team"}
AS_IT_IS = ("http", "inner:8000", "")


@pytest.mark.parametrize("peer", ["203.0.113.1", "10.0.0.1", "192.168.1.1", "::ffff:10.0.0.1", "fe80::1", ""])
@pytest.mark.parametrize("trusted", ["", "none", "10.9.0.0/16"])
async def test_nobody_else_is_believed(peer: str, trusted: str) -> None:
    assert await seen(peer, trusted, **EVERY) == (peer, *AS_IT_IS)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_without_a_setting_this_machine_is_believed_sender_and_scheme_and_nothing_else(peer: str) -> None:
    assert await seen(peer, **EVERY) == ("203.0.113.9", "https", "inner:8000", "")
    assert await seen(peer, "none", **EVERY) == (peer, *AS_IT_IS)
    assert await seen(peer, "10.0.0.0/8", **EVERY) == (peer, *AS_IT_IS), "a list replaces what counts without one"


@pytest.mark.parametrize("trusted", ["10.0.0.7", "10.0.0.0/8", "fd00::/8, 10.0.0.6/31", "192.0.2.1 10.0.0.7"])
async def test_a_proxy_of_the_list_is_believed_everything(trusted: str) -> None:
    for peer in ("10.0.0.7", "::ffff:10.0.0.7"):
        assert await seen(peer, trusted, **EVERY) == ("203.0.113.9", "https", "hub.example", "/team")
    assert await seen("10.0.0.7", trusted, "websocket", **EVERY) == ("203.0.113.9", "wss", "hub.example", "/team")


@pytest.mark.parametrize(
    ("said", "sender_"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("127.0.0.1, 203.0.113.9", "203.0.113.9"),  # who sent it claimed to be another
        ("6.6.6.6, 203.0.113.9, 10.0.0.8, 10.0.0.9", "203.0.113.9"),  # through three proxies
        (["6.6.6.6", "203.0.113.9", "10.0.0.8"], "203.0.113.9"),  # in several headers
        ("10.0.0.8, 10.0.0.9", "10.0.0.8"),  # from one of the proxies itself
        ("203.0.113.9:5555", "203.0.113.9"),
        ("[2001:db8::1]:5555", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("nonsense, 203.0.113.9", "203.0.113.9"),
        ("nonsense, 10.0.0.8", "10.0.0.8"),
        ("203.0.113.9, unknown", ""),  # it is not the proxy's own address either
        ("unknown", ""),
        ("", ""),
        ("127.0.0.1" * 1000, ""),
        (",".join(["203.0.113.9"] * 5000), "203.0.113.9"),
    ],
)
async def test_the_sender_is_the_first_from_the_end_that_is_no_proxy(said: str | list[str], sender_: str) -> None:
    assert (await seen("10.0.0.7", "10.0.0.0/8", for_=said))[0] == sender_


@pytest.mark.parametrize(
    ("name", "said", "counts"),
    [
        ("proto", "https", "https"),
        ("proto", "http, https", "https"),
        ("proto", "ftp", "http"),
        ("proto", "https, javascript", "http"),
        ("host", "hub.example:8443", "hub.example:8443"),
        ("host", "evil.example, hub.example", "hub.example"),
        ("host", "[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("host", "hub.example/path", "inner:8000"),
        ("host", "user@hub.example", "inner:8000"),
        ("host", 'hub.example"><script>', "inner:8000"),
        ("host", "h" * 300, "inner:8000"),
        ("prefix", "/team/asman", "/team/asman"),
        ("prefix", "/team/", "/team"),
        ("prefix", "/", ""),
        ("prefix", "team", ""),
        ("prefix", "//evil.example", ""),
        ("prefix", "/a/../b", ""),
        ("prefix", "/a?b", ""),
        ("prefix", "/a" * 17, ""),
        ("prefix", "/" + "a" * 256, ""),
    ],
)
async def test_the_last_value_counts_if_it_can_be_read(name: str, said: str, counts: str) -> None:
    found = await seen("10.0.0.7", "10.0.0.7", **{name: said})
    assert found[("", "proto", "host", "prefix").index(name)] == counts


def test_the_hubs_address_is_the_operators_or_that_of_the_request() -> None:
    scope = {
        "type": "http", "scheme": "https", "path": "/q/x", "query_string": b"", "headers": [(b"host", b"hub.example")],
        "server": None, PREFIX: "/team",
    }  # fmt: skip
    assert address_of(HTTPConnection(scope), "") == "https://hub.example/team"
    assert address_of(HTTPConnection(scope), "https://public.example/x/") == "https://public.example/x"


@pytest.mark.parametrize("text", ["10.0.0.7", "10.0.0.0/8,fd00::/8", "none", " 10.0.0.7 , ::1 "])
def test_the_setting_is_addresses_and_networks(text: str) -> None:
    assert load_config(trusted_proxies=text).trusted_proxies == text
    assert len(parse_trusted(text)) == (0 if text == "none" else text.count(",") + 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("*", "'*' is no address and no network"),
        ("proxy.example", "'proxy.example' is no address and no network"),
        ("10.0.0.7/8", "'10.0.0.7/8' is no address and no network"),
        ("none, 10.0.0.7", "'none' is no address"),
        ("0.0.0.0/0", "'0.0.0.0/0' is everybody"),
        ("::/0", "'::/0' is everybody"),
        ("x" * 1000, f"'{'x' * 64}' is no address"),
        (",".join(["10.0.0.7"] * (MOST_NETWORKS + 1)), f"at most {MOST_NETWORKS}"),
    ],
)
def test_what_is_none_or_everybody_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadRequest) as error:
        load_config(trusted_proxies=text)
    assert says in error.value.message
    assert "trusted_proxies" in error.value.message


def test_the_setting_has_room_for_its_most_networks() -> None:
    assert len(parse_trusted(",".join(["10.0.0.7"] * MOST_NETWORKS))) == MOST_NETWORKS
