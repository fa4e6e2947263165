"""Who may do what: every connection and request carries a set of rights, decided here and checked in one place."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from asman_shared.errors import Forbidden

from .names import check_queue_name


class Right(StrEnum):
    """What a key to a queue can grant."""

    READ = "read"
    SUBMIT = "submit"
    WORK = "work"


class Access(Struct, frozen=True):
    """What somebody may do with a queue."""

    queue: str
    rights: frozenset[Right]

    def need(self, right: Right) -> None:
        """Checks one right.

        Raises:
            Forbidden: It is not among those that the key grants.
        """
        if right not in self.rights:
            raise Forbidden(f"this key of the queue does not grant the right '{right}'")


ALL_RIGHTS = frozenset(Right)


def access(key: str) -> Access:
    """What a key in a URL grants. A queue's name grants everything.

    Raises:
        BadRequest: It can't be the name of a queue.
    """
    return Access(check_queue_name(key), ALL_RIGHTS)
