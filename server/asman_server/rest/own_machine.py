"""Tells programs on the hub's own machine from the rest of the world, and from web pages that a browser there shows."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers with which a proxy on this machine says that it speaks for somebody else."""


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def host_name(host: str) -> str:
    """Returns the name in a header ``Host``, without the port; empty if it can't be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_own_program(request: Request) -> bool:
    """Whether a request comes from a program on this machine that is no web page.

    It comes over loopback, not through a proxy, names this machine as it names itself, and names no origin.
    """
    headers = request.headers
    if request.client is None or not is_loopback(request.client.host) or any(name in headers for name in _FORWARDED):
        return False
    name = host_name(headers.get("host", ""))
    if not (name == "localhost" or name.endswith(".localhost") or is_loopback(name)):
        return False
    return "origin" not in headers and headers.get("sec-fetch-site", "none") in ("none", "same-origin")
