"""Which hosts a worker fetches from when a job names an address: never those that only the worker can reach.

A stranger's job must not read the worker's own network or the cloud's metadata service through the worker, so an
address counts only when everything its name stands for is public, or when the operator names the host.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from asman_shared.errors import ExecutionError


class AddressGuard:
    """Judges addresses before they are connected to.

    Args:
        allowed: Hosts (patterns) that may be fetched from although they are private, and by plain http.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = tuple(pattern.lower() for pattern in allowed)

    def trusts(self, host: str) -> bool:
        """Whether the operator named a host."""
        return any(fnmatchcase(host.lower(), pattern) for pattern in self._allowed)

    async def check(self, url: str) -> tuple[str, int, list[str]]:
        """Resolves an address and judges what it stands for.

        Returns:
            Host, port and the addresses to connect to: to these and no others, as a second look may say otherwise.

        Raises:
            ExecutionError: It may not be fetched from, or its host is unknown.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme != "https" and not (parts.scheme == "http" and self.trusts(host)):
            raise ExecutionError(f"'{_shown(url)}' is not fetched: only https:// is")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ExecutionError(f"the host '{host}' is not known: {error.strerror or error}") from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not self.trusts(host):
            for address in addresses:
                if not is_public(address):
                    raise ExecutionError(
                        f"'{host}' is at a private address, which jobs may not reach through the worker "
                        "(its operator can allow it: --allow-host)"
                    )
        return host, port, addresses


def is_public(text: str) -> bool:
    """Whether an address is one of the open internet's."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        for inner in (address.ipv4_mapped, address.sixtofour):
            if inner is not None:
                return is_public(str(inner))
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]
