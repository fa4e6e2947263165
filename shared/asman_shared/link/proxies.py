"""Finds the proxy for an address in the environment: one answer for websockets, blobs, queries and the doctor."""

from __future__ import annotations

import urllib.request
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from ..errors import Misconfigured

_SCHEMES: Final = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
"""The variable that counts for each scheme: ``http`` is ``HTTP_PROXY``."""
_PORTS: Final = {"http": 80, "https": 443}


def proxy_for(url: str) -> str | None:
    """Returns the proxy through which an address is reached; None if it is reached directly.

    The environment decides: ``HTTPS_PROXY`` for https and wss, ``HTTP_PROXY`` for http and ws, ``ALL_PROXY`` for all
    that have none of their own, and ``NO_PROXY`` for the hosts that are reached directly (names in small letters count
    first). Addresses of this machine never go through a proxy.

    Raises:
        Misconfigured: The proxy is not one that can be used.
    """
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", _SCHEMES.get(parts.scheme, "")
    if not host or not scheme or _here(host):
        return None
    proxies = urllib.request.getproxies()
    said = proxies.get(scheme) or proxies.get("all")
    port = _port(parts) or _PORTS[scheme]
    if not said or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    variable = f"{scheme}_proxy" if proxies.get(scheme) else "all_proxy"
    return _checked(said, variable.upper())


def shown(proxy: str) -> str:
    """Returns host and port of a proxy, without its password."""
    parts = urlsplit(proxy)
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{_port(parts) or _PORTS.get(parts.scheme, 80)}"


def _here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return None


def _checked(said: str, variable: str) -> str:
    """Returns the address of a proxy in the form that both libraries understand."""
    text = said if "://" in said else f"http://{said}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Misconfigured(f"${variable} is not the address of a proxy: write http://HOST:PORT") from None
    if parts.scheme.startswith("socks"):
        raise Misconfigured(
            f"${variable} names a SOCKS proxy, which Asman can't use: set HTTPS_PROXY and HTTP_PROXY to an http proxy, "
            "or NO_PROXY to the hub's host"
        )
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise Misconfigured(f"${variable} is not the address of a proxy: write http://HOST:PORT")
    login = ""
    if parts.username is not None:
        name, password = unquote(parts.username), unquote(parts.password or "")
        login = f"{quote(name, safe='')}:{quote(password, safe='')}@"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{login}{host}:{port or _PORTS[parts.scheme]}"
