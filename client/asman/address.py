"""The address of a queue as a person names it: an argument, or the environment."""

from __future__ import annotations

import os
from typing import Final

from asman_shared import address
from asman_shared.address import Address, check_queue_name, is_queue_name, parse_hub
from asman_shared.errors import BadRequest

__all__ = ["Address", "check_queue_name", "is_queue_name", "new_queue_name", "parse_address", "parse_hub"]

HUB_VARIABLE: Final = "ASMAN_HUB"
QUEUE_VARIABLE: Final = "ASMAN_QUEUE"


def parse_address(text: str | None = None, hub: str | None = None) -> Address:
    """Reads a queue's address from its URL or from its name.

    Args:
        text: As for `asman_shared.address.parse_address`; without it the environment variable ``ASMAN_QUEUE``.
        hub: The hub for a bare name; without it the environment variable ``ASMAN_HUB``.

    Raises:
        BadRequest: The address can't be read, or a name came without a hub.
    """
    given = (text or os.environ.get(QUEUE_VARIABLE) or "").strip()
    if not given:
        raise BadRequest(f"no queue was named: give its URL, or set {QUEUE_VARIABLE}")
    return address.parse_address(given, hub or os.environ.get(HUB_VARIABLE) or "")


def new_queue_name() -> str:
    """Returns an unguessable name for a queue: 160 random bits in base32, easy to read aloud and to select."""
    import secrets  # takes as long to import as all else here

    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(secrets.choice(alphabet) for _ in range(32))
