"""Keys that grant less than a queue's name: to read, to submit, to work, or to submit and read.

Whoever has the name derives them without asking anybody: a key is ``~`` and the HMAC-SHA256 of its right under the
name, in base32 without padding, in lower case. It stands wherever the name stands in an address, and the name can't be
computed from it. The page derives the same keys (`web/src/job/queue-keys.ts`); both are tested with the vectors in
``tests/data/queue_keys.json``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from enum import StrEnum
from typing import Final

from ..address import Address, is_queue_key, queue_named
from ..errors import Forbidden

LOCAL: Final = "local"
"""Stands for the queue of a hub on one's own machine. It is no name, so keys derived from it would open nothing."""


class KeyKind(StrEnum):
    """The rights of a derived key."""

    READ = "read"
    SUBMIT = "submit"
    WORK = "work"
    SUBMIT_READ = "submit+read"


def derived_key(queue: str, kind: KeyKind) -> str:
    """Returns the key to a queue that grants some rights.

    Args:
        queue: The queue's name; an older name has the keys of the queue that it stands for.
        kind: The rights.

    Raises:
        BadRequest: The name is not valid.
        Forbidden: The name is a key itself, or stands for the queue of the machine that it is used on.
    """
    if is_queue_key(queue):
        raise Forbidden("a key makes no other keys: they are derived from the queue's name alone", field="queue")
    if queue == LOCAL:
        raise Forbidden(
            "'local' is no queue's name, so no keys can be derived from it: use the name that 'asman up' prints",
            field="queue",
        )
    name = queue_named(queue)
    digest = hmac.new(name.encode(), f"asman {kind}".encode(), hashlib.sha256).digest()
    return "~" + base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def derived_keys(queue: str) -> dict[KeyKind, str]:
    """Returns all keys that can be derived from a queue's name; arguments and errors as for `derived_key`."""
    return {kind: derived_key(queue, kind) for kind in KeyKind}


def key_addresses(address: Address) -> dict[KeyKind, Address]:
    """Returns the addresses of a queue that grant less than the one with its name; errors as for `derived_key`."""
    return {kind: Address(address.hub, key) for kind, key in derived_keys(address.queue).items()}
