"""Limits webhooks to addresses on the public internet, and refuses those that only the hub can reach.

Every submitter of a job chooses where the hub sends a request. Without a guard, the hub would let all of them into its
own network: its own ports, the machines beside it, the cloud's metadata service. So the address of every
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
from asman_shared.public_addresses import closed

DNS_THREADS: Final = 16
"""Names that are resolved at a time; on threads of their own, so that a slow name server delays nothing else."""


class ClosedAddress(Forbidden):
    """This hub does not call that address."""


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
