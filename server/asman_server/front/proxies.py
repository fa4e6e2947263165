"""Believes what trusted proxies say about a request, and nobody else: who sent it, and to which address.

A proxy adds the address that it saw to ``X-Forwarded-For``, so the list is read from its end: the first address that is
no trusted proxy's is the sender's, and what stands before it is only what that sender has claimed. Of the other headers
the last value counts, which the nearest proxy has written. What can't be read is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX: Final = "asman.prefix"
"""Key in a request's scope: the path below which a trusted proxy serves this hub, such as ``/team/asman``."""
NOBODY: Final = "none"
"""The setting that trusts no proxy at all."""
MOST_NETWORKS: Final = 100
"""Largest number of addresses and networks in the setting."""
_ENTRY: Final = 64
"""Longest address in a header, in characters."""
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PREFIX: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,;=:@%-]{1,255}){1,16}")
_SCHEMES: Final = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
_BY_DEFAULT: Final = "127.0.0.1, ::1"

Network = IPv4Network | IPv6Network


def parse_trusted(text: str) -> tuple[Network, ...]:
    """Reads a list of addresses and networks, which commas or spaces divide.

    Args:
        text: Such as ``10.0.0.7, 172.16.0.0/12``; empty or ``none`` for no network.

    Raises:
        ValueError: An entry can't be read, trusts everybody, or there are too many.
    """
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if words == [NOBODY]:
        return ()
    if len(words) > MOST_NETWORKS:
        raise ValueError(f"it has at most {MOST_NETWORKS} addresses and networks")
    return tuple(map(_network, words))


def trusted_networks(setting: str) -> tuple[Network, ...]:
    """Returns the networks of trusted proxies; without a setting, the hub's own machine.

    Raises:
        ValueError: The setting can't be read.
    """
    return parse_trusted(setting if setting.strip() else _BY_DEFAULT)


def _network(word: str) -> Network:
    try:
        network = ip_network(word)
    except ValueError:
        raise ValueError(
            f"'{word[:_ENTRY]}' is no address and no network: write 10.0.0.7, 10.0.0.0/8 or fd00::/8, or 'none'"
        ) from None
    if network.prefixlen == 0:
        raise ValueError(f"'{word}' is everybody, who could then claim any address: name the networks of your proxies")
    return network


class TrustedProxies:
    """ASGI middleware that puts the sender's address, scheme, host and prefix into a request's scope.

    Without a setting, proxies on the hub's own machine are believed who sent a request and by which scheme, and
    nothing else.

    Args:
        app: The hub's application.
        trusted: The setting, for `parse_trusted`; empty if there is none.
    """

    def __init__(self, app: ASGIApp, trusted: str = "") -> None:
        self._app = app
        self._whole = bool(trusted.strip())
        self._networks = trusted_networks(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Changes the scope in its place, as a copy would keep the head of each websocket in memory."""
        if scope["type"] in ("http", "websocket") and scope.get("client") and self.trusts(scope["client"][0]):
            self._believe(scope)
        await self._app(scope, receive, send)

    def trusts(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        try:
            found = _plain(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)

    def _believe(self, scope: Scope) -> None:
        given: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name.startswith(b"x-forwarded-"):
                given[name] = given[name] + b"," + value if name in given else value
        if not given:
            return
        if (senders := given.get(b"x-forwarded-for")) is not None:
            scope["client"] = self._sender(senders.decode("latin-1").split(","))
        scheme = _SCHEMES.get(_last(given.get(b"x-forwarded-proto")))
        if scheme:
            scope["scheme"] = scheme if scope["type"] == "http" else scheme.replace("http", "ws")
        if self._whole:
            self._believe_address(scope, given)

    def _believe_address(self, scope: Scope, given: dict[bytes, bytes]) -> None:
        host = _last(given.get(b"x-forwarded-host"))
        if _HOST.fullmatch(host.decode("latin-1")):
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"host"] + [(b"host", host)]
        prefix = _last(given.get(b"x-forwarded-prefix")).decode("latin-1").rstrip("/")
        if _PREFIX.fullmatch(prefix):
            scope[PREFIX] = prefix

    def _sender(self, entries: Iterable[str]) -> tuple[str, int] | None:
        """Returns the address of the sender; None if the nearest proxy did not name it."""
        found: tuple[str, int] | None = None
        for entry in reversed(list(entries)):
            try:
                address, port = _entry(entry.strip())
            except ValueError:
                return found
            found = (address, port)
            if not self.trusts(address):
                return found
        return found


def _last(value: bytes | None) -> bytes:
    return (value or b"").rpartition(b",")[2].strip()


def _plain(address: str) -> Any:
    """Reads an address; one of IPv4 within IPv6 is that of IPv4.

    Raises:
        ValueError: It is none.
    """
    found = ip_address(address)
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _entry(text: str) -> tuple[str, int]:
    """Reads an entry of ``X-Forwarded-For``: an address, which may have a port.

    Raises:
        ValueError: It is none.
    """
    if len(text) > _ENTRY:
        raise ValueError("too long")
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    return str(_plain(host)), int(port) if port.isascii() and port.isdigit() else 0
