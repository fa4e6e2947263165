"""Sentences that say why a hub can't be reached, made from the errors of sockets and TLS."""

from __future__ import annotations

import socket
import ssl
from typing import Final

_NO_TUNNEL: Final = "Tunnel connection failed: "
"""Beginning of the message of the standard library's error about a proxy that refuses."""
_HINTS: Final = {
    403: "this queue's key does not allow it",
    429: "the hub has too many connections",
    503: "the hub is not ready",
}


def unreachable(error: OSError, host: str, timeout: float) -> str:
    """Returns the sentence for an error.

    Args:
        error: The error that connecting, or waiting for an answer, raised.
        host: Host and port of the hub.
        timeout: Time limit of the hub's answer, in seconds.
    """
    match error:
        case socket.gaierror():
            return f"there is no host named '{host.rpartition(':')[0] or host}': check the queue's address"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {host} can't be trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"no secure connection to {host} could be made ({error.reason}): does it speak https?"
        case TimeoutError():
            return f"nothing answered at {host} within {timeout:g} seconds"
        case ConnectionRefusedError():
            return f"nothing listens at {host}: is the hub running?"
        case OSError() if "Multiple exceptions" in str(error) and "Errno 111" in str(error):
            return f"nothing listens at {host}: is the hub running?"
        case _:
            return f"{host} can't be reached: {error.strerror or error}"


def proxy_unreachable(error: OSError, proxy: str) -> str:
    """Returns the sentence for an error of connecting to a proxy; ``proxy`` is its host and port."""
    if str(error).startswith(_NO_TUNNEL):
        return proxy_refuses(proxy, str(error).removeprefix(_NO_TUNNEL).split()[0])
    remedy = "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or list the hub's host in NO_PROXY"
    if isinstance(error, socket.gaierror):
        return f"there is no host named '{proxy.rpartition(':')[0]}', which is to be the proxy: {remedy}"
    refused = isinstance(error, ConnectionRefusedError) or "Errno 111" in str(error)
    why = "nothing listens there" if refused else error.strerror or str(error)
    return f"the proxy {proxy} can't be reached ({why}): {remedy}"


def proxy_refuses(proxy: str, status: int | str) -> str:
    """Returns the sentence for a proxy that answers by itself; ``proxy`` is its host and port."""
    hint = ": it wants a name and a password, http://NAME:PASSWORD@HOST:PORT" if str(status) == "407" else ""
    return f"the proxy {proxy} does not let this connection through (HTTP status {status}){hint}"


def wrong_status(code: int, host: str) -> str:
    """Returns the sentence for an HTTP status that a healthy hub does not answer there."""
    return f"{host} answered with HTTP status {code}: {_HINTS.get(code, 'is it an Asman hub, and the path right?')}"


def hung_up(host: str) -> str:
    """Returns the sentence for a connection that ended before the answer."""
    return f"{host} closed the connection before it answered: is the hub behind it running?"


def no_hub(host: str) -> str:
    """Returns the sentence for an unreadable answer."""
    return f"the server at {host} is not an Asman hub"
