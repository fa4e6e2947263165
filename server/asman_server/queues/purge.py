"""Removes many jobs of a queue on its owner's request, a part at a time."""

from __future__ import annotations

from typing import Final

from asman_shared.errors import BadRequest
from asman_shared.messages import Error, Message, Purge, Purged
from asman_shared.states import State

from ..awaited import Awaited
from ..core import events as ev
from ..reply_to import ReplyTo
from .shell import QueueShell

AT_ONCE: Final = 500
"""Number of jobs that are looked at together."""
MOST: Final = 5000
"""Number of jobs after which a request is answered with ``more``."""


def check_purge(wanted: Purge) -> None:
    """Checks the states of a request.

    Raises:
        BadRequest: Jobs in such a state can't be purged.
    """
    for state in wanted.states:
        if state not in (State.QUEUED, State.FINISHED):
            raise BadRequest(f"Queued and Finished jobs can be purged, not {state.value} ones", field="states")


async def purge(shell: QueueShell, wanted: Purge) -> Purged:
    """Removes the jobs that a request names; returns the answer once that is durable.

    Jobs that run, or that are kept, stay, and so do those that change meanwhile.

    Raises:
        Unavailable: The database can't be used now.
    """
    before: int | None = None
    removed = 0
    latest = shell.clock() - wanted.older_than
    while removed < MOST:
        found = await shell.store.page(shell.name, wanted.states, before, AT_ONCE)
        ids = [job.id for job in found]
        stored = await shell.recall.away(ids)
        removed += await _removed(shell, ev.PurgeRequested(ids, stored, wanted.states, wanted.reasons, latest))
        if len(found) < AT_ONCE:
            return Purged(wanted.ref, removed)
        before = found[-1].number
    return Purged(wanted.ref, removed, more=True)


def _removed(shell: QueueShell, event: ev.PurgeRequested) -> Awaited[int]:
    told: Awaited[int] = Awaited()

    def say(message: Message) -> None:
        if isinstance(message, Purged):
            told.say(message.count)
        elif isinstance(message, Error):
            told.refuse(message.error)

    event.reply_to = ReplyTo(0, say)
    shell.apply(event)
    return told
