"""Checks the form of ``http(s)://`` addresses that strangers name, before anything tries to reach them."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = re.compile(r"[^\x00-\x20\x7f\"<>\\^`{|}\s]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


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
    if _HOST.fullmatch(host) is None or ("%" in host and ":" not in host):
        return "its host is not a host's name"
    return None
