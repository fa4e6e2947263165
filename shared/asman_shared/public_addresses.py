"""Checks addresses: their form, and that strangers make a hub or a worker connect only to the public internet.

A submitter may name addresses that another user's machine then connects to. Without this check, the machine would give
everybody access to its own network: its ports, its neighbours, the cloud's metadata.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

STORAGE: Final = "Asman-Storage"
"""Header of a hub's redirect to one of its files: the origin of the hub's storage, which may be private."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Networks of IANA's special-purpose registries (RFC 6890) that strangers must not name.
_CLOSED: Final[dict[str, tuple[str, ...]]] = {
    "unspecified": ("0.0.0.0/8", "::/128"),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10", "64:ff9b:1::/48"),
    "carrier-grade NAT": ("100.64.0.0/10",),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "cloud metadata": ("168.63.129.16/32",),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "reserved": (
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
    ),
}
_NETWORKS: Final = [(kind, ipaddress.ip_network(text)) for kind, texts in _CLOSED.items() for text in texts]
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_HOST: Final = re.compile(r"[^\x00-\x20\x7f\"<>\\^`{|}\s]+")
_BRACKETS: Final = re.compile(r"\[[^\[\]]*\](:.*)?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def _inner(address: _Address) -> _Address:
    """Returns the IPv4 address in an IPv6 address (v4-mapped, 6to4 or NAT64), otherwise the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def closed(text: str) -> str | None:
    """Returns the kind of an address (``loopback``, ``private``, …); None for one on the public internet."""
    try:
        address = _inner(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return "not an address"
    for kind, network in _NETWORKS:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None if address.is_global and not address.is_multicast else "reserved"


def malformed(url: str) -> str | None:
    """Returns the fault of an absolute address, as the end of a sentence; None if it can be reached as written."""
    if _CONTROL.search(url):
        return "it has a control character"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "its host can't be read"
    if parts.scheme not in ("http", "https"):
        return "it must start with https:// or http://"
    if not host:
        return "it has no host"
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return "its port must be a number from 1 to 65535"
    try:
        host.encode("idna")
    except UnicodeError:
        return "its host is not a host's name"
    authority = parts.netloc.rpartition("@")[2]
    if "[" in authority and _BRACKETS.fullmatch(authority) is None:
        return "its host is not a host's name"
    if _HOST.fullmatch(host) is None or ("%" in host and ":" not in host):
        return "its host is not a host's name"
    return None
