"""Notes about jobs that are tasks: the task as it was sent, and what tells that it is created again.

A note is written with its job, and removed with it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from asman_shared.errors import BadRequest
from asman_shared.units import KIB, format_size

from ..hub import Hub
from .repeats import REMEMBERED, REMEMBERED_SECONDS, Earlier, Key, digest_of

_CREATED: Final = "asman:created"
"""Member of a note that is none of the task: the digest of the create and its address."""

NOTE_BYTES: Final = 512 * KIB
"""Largest size of a task without the contents of its inputs, in bytes: lists read many of them at once."""
NOTED_PAGE: Final = 50
"""Number of notes that are read at once."""


def note_of(task: dict[str, Any], key: Key, prefix: str) -> bytes:
    """Makes a note.

    Args:
        task: The task as it is shown again.
        key: What a repetition of the create has in common with it.
        prefix: The address that it was created at.

    Raises:
        BadRequest: The task is too large.
    """
    note = msgspec.json.encode({**task, _CREATED: [digest_of(key).hex(), prefix]})
    if len(note) > NOTE_BYTES:
        raise BadRequest(
            f"a task has at most {format_size(NOTE_BYTES)} without the contents of its inputs, and this one has "
            f"{format_size(len(note))}: put long texts into an input, and fewer or shorter tags"
        )
    return note


def noted(note: bytes) -> dict[str, Any]:
    """Returns the task of a note."""
    task: dict[str, Any] = msgspec.json.decode(note)
    task.pop(_CREATED, None)
    return task


async def created_before(hub: Hub, queue: str) -> Earlier:
    """Returns the tasks that were created in a queue in the minute before.

    Raises:
        Unavailable: The database can't be read now.
    """
    found: Earlier = {}
    oldest = hub.clock() - round(REMEMBERED_SECONDS * 1000)
    before: int | None = None
    while len(found) < REMEMBERED:
        page = await hub.store.noted_page(queue, before, NOTED_PAGE)
        for job, note in page:
            before = job.number
            if job.queued < oldest:
                return found
            created = msgspec.json.decode(note).get(_CREATED)
            if created:
                # The newest comes first: an equal one before it was another task.
                found.setdefault(bytes.fromhex(created[0]), (job.id, created[1]))
        if len(page) < NOTED_PAGE:
            return found
    return found
