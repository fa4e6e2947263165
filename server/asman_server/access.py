"""The rights of a connection or request: granted here by the key, checked in one place."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from asman_shared.address import is_queue_name
from asman_shared.errors import CLOSE_REASONS, BadRequest, CloseCode, Forbidden


class Right(StrEnum):
    """A right that a key to a queue can grant."""

    READ = "read"
    SUBMIT = "submit"
    WORK = "work"


class Access(Struct, frozen=True):
    """A queue, and the rights that a key grants on it."""

    queue: str
    rights: frozenset[Right]

    def need(self, right: Right) -> None:
        """Checks one right.

        Raises:
            Forbidden: The key does not grant the right.
        """
        if right not in self.rights:
            raise Forbidden(f"this key of the queue does not grant the right '{right}'")


ALL_RIGHTS = frozenset(Right)


def access(key: str) -> Access:
    """Returns the rights that a key in a URL grants. A queue's name grants all of them.

    Raises:
        BadRequest: The key is not a valid name of a queue.
    """
    if not is_queue_name(key):
        raise BadRequest(CLOSE_REASONS[CloseCode.BAD_QUEUE], field="queue")
    return Access(key, ALL_RIGHTS)
