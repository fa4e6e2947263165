"""The address of the sender of a request, and that of the hub as the sender knows it."""

from __future__ import annotations

import ipaddress

from starlette.requests import HTTPConnection

from .proxies import PREFIX


def address_of(connection: HTTPConnection, public_url: str) -> str:
    """Returns the hub's address without a slash at the end: the one that its operator named, or that of the request.

    Args:
        connection: The request or websocket.
        public_url: The operator's setting; empty for none.
    """
    if public_url:
        return public_url.rstrip("/")
    return f"{connection.url.scheme}://{connection.url.netloc}{connection.scope.get(PREFIX, '')}"


def is_own_machine(host: str) -> bool:
    """Returns whether an address or a name means each machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def sender(connection: HTTPConnection) -> str:
    """Returns the address of the sender, behind trusted proxies too; empty if nobody has named it."""
    return connection.client.host if connection.client is not None else ""
