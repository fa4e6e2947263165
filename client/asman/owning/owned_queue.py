"""Settings of a queue, purges, and workers to drain: the part of a client that is for the queue's owner."""

from __future__ import annotations

from collections.abc import Iterable

from asman_shared import messages as m
from asman_shared.states import State

from ..arguments import read_states, text
from ..connection import AsyncOnly, Connection
from ..deadline import Duration, deadline, milliseconds


class OwnedQueue(AsyncOnly):
    """The owner's part of `asman.client.Queue`, which makes the connection."""

    _connection: Connection

    async def configure(
        self,
        *,
        retention: Duration | None = None,
        paused: bool | None = None,
        timeout: Duration | None = None,
    ) -> m.Configured:
        """Sets how long the queue keeps its finished jobs, or pauses and resumes it; or returns the present settings.

        Args:
            retention: In seconds, or as text (``30d``); 0 to use the hub's setting; None to change nothing.
            paused: True to give no jobs to workers from now on, False to give some again; None to change nothing. A
                paused queue takes submissions, and what runs goes on.
            timeout: In seconds.

        Returns:
            The present settings: ``retention`` in milliseconds, whether it is the queue's ``own``, and ``paused``, the
            time since which it is paused in epoch milliseconds, or 0.

        Raises:
            BadRequest: The time is too short, or longer than the hub allows.
        """
        default = retention == 0 and not isinstance(retention, bool)
        wanted = 0 if default else milliseconds(retention, field="retention")
        async with deadline(timeout, "configuring the queue"):
            return await self._connection.request(m.Configure(0, wanted, paused), m.Configured)

    async def purge(
        self,
        states: str | Iterable[str] = "Finished",
        *,
        older_than: Duration | None = None,
        timeout: Duration | None = None,
    ) -> int:
        """Removes jobs with their results and logs; returns how many. Jobs that run, or that are kept, stay.

        Args:
            states: ``Queued``, ``Finished``, or reasons for which finished jobs ended (``Failed``); one or several.
            older_than: Only jobs that were queued or finished that long ago, in seconds or as text (``7d``).
            timeout: In seconds.

        Raises:
            Forbidden: The queue was opened by a key; only its name grants this.
        """
        wanted, reasons = read_states(states)
        age = milliseconds(older_than, field="older_than") or 0
        count = 0
        async with deadline(timeout, "purging the queue"):
            while True:
                purge = m.Purge(0, wanted or [State.FINISHED], sorted(reasons), age)
                found = await self._connection.request(purge, m.Purged)
                count += found.count
                if not found.more:
                    return count

    async def delete(self, *, timeout: Duration | None = None) -> m.DeletedQueue:
        """Deletes the queue with its jobs, results, logs, settings and keys; what runs is stopped.

        This connection and all others to the queue end. A later use of the same name begins another queue.

        Args:
            timeout: In seconds.

        Returns:
            The number of ``jobs`` that are gone, and of ``workers`` that were connected.

        Raises:
            Forbidden: The queue was opened by a key; only its name grants this.
        """
        async with deadline(timeout, "deleting the queue"):
            return await self._connection.request(m.DeleteQueue(0), m.DeletedQueue)

    async def drain(self, worker: str, *, undo: bool = False, timeout: Duration | None = None) -> list[m.WorkerState]:
        """Drains a worker: it gets no more jobs, and leaves when it has none; returns the workers that are meant.

        Args:
            worker: Its id or its name, as `workers` returns them.
            undo: Let it take jobs again, if it is still here.
            timeout: In seconds.

        Raises:
            NotFound: The queue has no such worker.
            Forbidden: The queue was opened by a key; only its name grants this.
        """
        dismiss = m.Dismiss(0, text("worker", worker), undo)
        async with deadline(timeout, f"draining the worker {worker[:40]}"):
            return (await self._connection.request(dismiss, m.WorkerPage)).workers
