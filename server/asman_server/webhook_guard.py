"""Which addresses a webhook may go to: the public internet, and nothing that only the hub can reach.

Whoever may submit a job chooses where the hub sends a request. Without a guard the hub would be everybody's way into
the network it stands in: its own ports, the machines beside it, the cloud's metadata service. So the address of every
connection is judged when its socket is made, which is after the name was resolved and for the very address that is
connected to: a name that resolves to something else the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from asman_shared.errors import Forbidden

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: The special-purpose address registries of IANA (RFC 6890), as far as they must not be called.
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

DNS_THREADS: Final = 16
"""Names that are resolved at a time; on threads of their own, so that a slow name server delays nothing else."""


class ClosedAddress(Forbidden):
    """This hub does not call that address."""


def _inner(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for: v4-mapped, 6to4 or NAT64; else itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def closed(text: str) -> str | None:
    """Why an address must not be called (``loopback``, ``private``, …); None when it may be."""
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


def closed_host(host: str) -> str | None:
    """As `closed`, for the host of a URL as far as it can be judged without asking for its address."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return "loopback"
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None
    return closed(name)


def guarded_socket(info: Any) -> socket.socket:
    """Makes the socket for one resolved address (an entry of ``getaddrinfo``), if it may be called.

    Raises:
        ClosedAddress: It may not.
    """
    family, kind, protocol, _, address = info
    why = closed(str(address[0]))
    if why is not None:
        raise ClosedAddress(f"its address is {why}, and this hub does not call such addresses")
    return socket.socket(family, kind, protocol)


class ThreadResolver(AbstractResolver):
    """The machine's own way to resolve names, on threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(DNS_THREADS, "webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name.

        Raises:
            OSError: There are none, or the name server does not answer.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Lets go of the threads; names that are being resolved are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def guarded_connector(resolver: AbstractResolver, *, allow_private: bool) -> aiohttp.TCPConnector:
    """Makes connections to permitted addresses only; each is used for one request.

    Addresses are tried one after another (no happy eyeballs), so that a closed one ends the try.
    """
    return aiohttp.TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        force_close=True,
        limit=0,
        happy_eyeballs_delay=None,
        socket_factory=None if allow_private else guarded_socket,
    )
