"""A stream of all changes of a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from asman_shared import messages as m
from asman_shared.errors import BadRequest, NotFound
from asman_shared.states import State

from .address import Address
from .arguments import whole
from .connection import Connection
from .session import Push

Change = m.JobState | m.WorkerState | m.Counts
"""The newest state of a job or a worker, or the queue's totals."""


class Changes:
    """A buffer of unread changes: the newest state of each job and worker replaces the one before.

    Its size is therefore limited by the number of jobs. A slow reader misses intermediate states, never the last one.
    """

    def __init__(self, recent: int | None = None) -> None:
        self._recent = recent
        self._waiting: dict[str, Change] = {}
        self._resync = True
        self._something = asyncio.Event()

    def pushed(self, push: Push) -> None:
        """Takes one change."""
        match push:
            case m.Changed(job=job):
                self._put(job.id, job)
            case m.WorkerChanged(worker=worker):
                self._put(f"worker {worker.id}", worker)
            case m.CountsChanged(counts=counts):
                self._waiting["counts"] = counts
                self._something.set()

    def _put(self, key: str, state: m.JobState | m.WorkerState) -> None:
        before = self._waiting.pop(key, None)
        if isinstance(before, m.JobState) and isinstance(state, m.JobState) and state.summary is None:
            state.summary = before.summary
        self._waiting[key] = state
        self._something.set()

    def opened(self, recovered: bool) -> None:
        """Handles a new connection: missed changes are pushed if it recovered, and otherwise read as a snapshot."""
        if not recovered:
            self._resync = True
            self._something.set()

    def failed(self) -> None:
        """Wakes the reader, which then raises the connection's error."""
        self._something.set()

    async def each(self, connection: Connection) -> AsyncIterator[Change]:
        """Yields changes from now on, starting with a snapshot of the queue."""
        while True:
            if self._resync:
                self._resync = False
                async for change in self._snapshot(connection):
                    yield change
            while self._waiting:
                key = next(iter(self._waiting))
                yield self._waiting.pop(key)
            self._something.clear()
            if connection.failure is not None:
                raise connection.failure
            if not self._resync:
                await self._something.wait()

    async def _snapshot(self, connection: Connection) -> AsyncIterator[Change]:
        workers = await connection.request(m.Workers(ref=0), m.WorkerPage)
        for worker in workers.workers:
            yield worker
        left = self._recent
        async for page in pages(connection, []):
            yield page.counts
            for job in page.jobs[:left]:
                waiting = self._waiting.get(job.id)
                if not (isinstance(waiting, m.JobState) and waiting.version >= job.version):
                    yield job
            if left is not None and (left := left - len(page.jobs)) <= 0:
                return


async def pages(connection: Connection, states: list[State]) -> AsyncIterator[m.JobPage]:
    """Yields the queue's jobs, newest first, one page at a time."""
    size = connection.welcome.limits.page if connection.welcome else 100
    before: int | None = None
    while True:
        request = m.List(ref=0, states=list(states), before=before, limit=min(size, 500))
        page = await connection.request(request, m.JobPage)
        yield page
        if page.next is None:
            return
        before = page.next


async def id_beginning_with(start: str, connection: Connection) -> str:
    """Finds the id of the one job of a queue that begins with some digits.

    Raises:
        NotFound: There is no such job.
        BadRequest: There are several.
    """
    found = [job.id async for page in pages(connection, []) for job in page.jobs if job.id.startswith(start)]
    ids = sorted(set(found))  # a job that runs again between two pages is in both
    if not ids:
        raise NotFound(f"no job on this queue begins with '{start}'", field="job")
    if len(ids) > 1:
        raise BadRequest(f"{len(ids)} jobs begin with '{start}': give more of its id", field="job")
    return ids[0]


async def watch(
    address: Address, *, timeout: float, reconnect: float | None, recent: int | None = None
) -> AsyncIterator[Change]:
    """Yields every change of a queue over a connection of its own, so that a slow reader delays only itself.

    Args:
        address: The queue.
        timeout: As for `Connection`.
        reconnect: As for `Connection`.
        recent: Number of jobs to start with, the newest ones; None for all.

    Raises:
        BadRequest: ``recent`` is no number of jobs.
        AsmanError: The hub can't be reached, or was away for longer than ``reconnect`` allows.
    """
    if recent is not None:
        whole("recent", recent, least=0)
    changes = Changes(recent)
    connection = Connection(
        address,
        follow="queue",
        timeout=timeout,
        reconnect=reconnect,
        on_push=changes.pushed,
        on_open=changes.opened,
        on_fail=changes.failed,
    )
    await connection.open()
    try:
        async for change in changes.each(connection):
            yield change
    finally:
        await connection.close()
