"""The address at which other machines find a server of this one."""

from __future__ import annotations

import socket
from typing import Final
from urllib.parse import urlsplit

from .own_address import is_own_machine

_FAR: Final = ("192.0.2.1", 9)
"""An address that belongs to nobody (https://www.rfc-editor.org/rfc/rfc5737); nothing is sent to it."""


def address_for_others(host: str, url: str) -> str | None:
    """Returns the URL that other machines can use.

    Args:
        host: The address that the server listens on.
        url: Its URL on this machine.

    Returns:
        None if it listens for this machine alone, or this machine has no network.
    """
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        found = _outward()
        return None if found is None else f"{urlsplit(url).scheme}://{found}:{urlsplit(url).port}"
    return None if is_own_machine(host) else url


def _outward() -> str | None:
    """This machine's address in the network through which it reaches others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(_FAR)  # chooses the address that packets would have
        except OSError:
            return None
        found = str(asked.getsockname()[0])
    return None if is_own_machine(found) else found
