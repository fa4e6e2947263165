"""Keeps the notes of tasks that clients ask for, so that a poll of a larger view reads nothing from the database."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from asman_shared.units import MIB

from ..core import Job
from ..storage.reader import Store

CACHE_BYTES: Final = 32 * MIB
"""Most memory that kept notes take, in bytes; the ones that were not asked for longest are dropped first."""
ENTRY_BYTES: Final = 400
"""Memory of an entry besides its note, in bytes."""

Key = tuple[str, str]
"""A queue and a task of it."""


class NoteCache:
    """The notes of tasks that were asked for lately.

    A note belongs to a run of its job, which the time of its submission tells apart from others.

    Args:
        store: Reads notes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[Key, tuple[int, bytes | None]] = OrderedDict()
        self._size = 0
        self._changes = 0

    async def note(self, queue: str, job: Job) -> bytes | None:
        """Returns the note of a job; None if it has none.

        Raises:
            Unavailable: The database can't be read now.
        """
        key = (queue, job.id)
        run = job.queued
        kept = self._kept.get(key)
        if kept is not None and kept[0] == run:
            self._kept.move_to_end(key)
            return kept[1]
        changes = self._changes
        note = await self._store.note(queue, job.id)
        if changes == self._changes and job.queued == run:
            self._keep(key, run, note)
        return note

    def replaced(self, queue: str, job_id: str) -> None:
        """Forgets the note of a job, because a newer one has been stored; a read that began before keeps nothing."""
        self._changes += 1
        self._drop((queue, job_id))

    def _keep(self, key: Key, run: int, note: bytes | None) -> None:
        self._drop(key)
        self._kept[key] = run, note
        self._size += _weight(note)
        while self._size > CACHE_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self._size -= _weight(dropped[1])


def _weight(note: bytes | None) -> int:
    return ENTRY_BYTES + len(note or b"")
