"""The rights of a connection or request, which its key grants."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from asman_shared.address import queue_named
from asman_shared.errors import CLOSE_REASONS, BadRequest, CloseCode, Forbidden
from asman_shared.keys.derived import KeyKind


class Right(StrEnum):
    """A right that a key to a queue can grant. Only the queue's name itself grants ``own``."""

    READ = "read"
    SUBMIT = "submit"
    WORK = "work"
    OWN = "own"


_OF_NAME: Final = "; only the queue's name does"


class Access(Struct, frozen=True):
    """A queue, the rights that a key grants on it, and who uses them.

    Attributes:
        queue: The queue.
        rights: The rights.
        key: Tells the key from others, for limits and records; empty for the queue's name.
        sender: The party for whose limits its use counts; empty if it has none. See `asman_server.limiting`.
    """

    queue: str
    rights: frozenset[Right]
    key: str = ""
    sender: str = ""

    def need(self, right: Right) -> None:
        """Checks one right.

        Raises:
            Forbidden: The key does not grant the right.
        """
        if right not in self.rights:
            raise Forbidden(missing(right))

    def need_all(self, rights: Iterable[Right]) -> None:
        """Checks several rights.

        Raises:
            Forbidden: The key does not grant one of them.
        """
        for right in rights:
            self.need(right)

    @property
    def sees_definitions(self) -> bool:
        """Whether the key sees whole definitions: their inputs, and the values of their environment variables."""
        return Right.READ in self.rights and Right.SUBMIT in self.rights


def missing(right: Right) -> str:
    """Returns the sentence about a right that a key does not grant."""
    return f"this key of the queue does not grant the right '{right}'{_OF_NAME if right is Right.OWN else ''}"


ALL_RIGHTS: Final = frozenset(Right)
DERIVED: Final[dict[KeyKind, frozenset[Right]]] = {
    KeyKind.READ: frozenset({Right.READ}),
    KeyKind.SUBMIT: frozenset({Right.SUBMIT}),
    KeyKind.WORK: frozenset({Right.WORK}),
    KeyKind.SUBMIT_READ: frozenset({Right.SUBMIT, Right.READ}),
}
"""The rights of the keys that are derived from a queue's name."""


def access(name: str, sender: str = "") -> Access:
    """Returns the rights that a queue's name grants: all of them, and so does an older name.

    Args:
        name: The name.
        sender: The party that uses it; see `Access`.

    Raises:
        BadRequest: The text is not a valid name of a queue.
    """
    try:
        return Access(queue_named(name), ALL_RIGHTS, sender=sender)
    except BadRequest:
        raise BadRequest(CLOSE_REASONS[CloseCode.BAD_QUEUE], field="queue") from None
