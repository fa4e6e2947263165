"""Ends data that is due: finished jobs, jobs that have waited too long, and settings of idle queues.

Every stored job has a due time. Jobs that are due are looked up here and handed to their queues, including queues that
have not been used for days. The queue's core decides, because a row may be older than the core's state.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import groupby
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import AsmanError
from asman_shared.states import State

from ..clock import Clock
from ..storage.database import unavailable
from ..storage.group_commit import GroupCommitter
from ..storage.postgres.shards import Fence, fenced
from ..storage.reader import Reader
from ..storage.tables import facts, jobs, queues
from .registry import Registry

log = logging.getLogger("asman.hub.retention")

LOOK_SECONDS: Final = 60.0
"""Time between two lookups, in seconds."""
AT_ONCE: Final = 500
"""Number of jobs, or of queues' settings, that are looked up together."""
FACT: Final = "retention"


class Retention:
    """Periodically ends the jobs and settings that are due.

    Args:
        registry: The hub's queues.
        store: Reads the jobs and settings that are due.
        committer: Makes their end durable.
        clock: Returns the current time.
        kept: Retention of jobs and of idle queues' settings where the queue has none of its own, in milliseconds.
    """

    def __init__(self, registry: Registry, store: Reader, committer: GroupCommitter, clock: Clock, kept: int) -> None:
        self._registry = registry
        self._store = store
        self._committer = committer
        self._clock = clock
        self._kept = kept

    async def run(self) -> None:
        """Ends due jobs and settings periodically, until it is cancelled; retries while the database is away."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except AsmanError as error:
                log.info("jobs that are due can't be ended now: %s", error.message)

    async def look(self) -> None:
        """Ends everything that is due now.

        Raises:
            Unavailable: The database is away, or too many queues are in use.
        """
        last: list[tuple[str, str]] = []
        while True:
            due = await self._store.due(self._clock(), AT_ONCE)
            if not due or due == last:
                break
            last = due
            for queue, rows in groupby(sorted(due), key=_queue):
                async with self._registry.using(queue) as shell:
                    await shell.come_due([job for _, job in rows])
            await self._committer.written()
        await self._forget_idle_queues()

    async def _forget_idle_queues(self) -> None:
        last = ""
        while True:
            idle = await self._store.idle_queues(self._clock() - self._kept, last, AT_ONCE)
            for queue in idle:
                if queue not in self._registry.queues:
                    self._committer.forget_queue(queue)
            if len(idle) < AT_ONCE:
                return
            last = idle[-1]


def _queue(row: tuple[str, str]) -> str:
    return row[0]


async def backfill_due_times(engine: AsyncEngine, kept: int, fence: Fence | None = None) -> None:
    """Updates the due time of every finished job if the retention has changed since the last start.

    Args:
        engine: The database, in its newest schema.
        kept: Retention of finished jobs where their queue has none of its own, in milliseconds.
        fence: The shards that the hub owns in Postgres; None where nobody else writes.

    Raises:
        ShardsLost: Another hub has taken over the queues. Nothing was written.
        Unavailable: The database can't be written.
    """
    own = select(queues.c.queue).where(queues.c.retention > 0)
    with unavailable("the hub's retention time can't be applied to the database: {}"):
        async with fenced(engine, fence) as connection:
            known = await connection.scalar(select(facts.c.value).where(facts.c.name == FACT))
            if known == str(kept):
                return
            # Jobs that are kept have no due time, and before the first start with a retention no job had one.
            least = -1 if known is None else 0
            await connection.execute(
                update(jobs)
                .where(jobs.c.state == State.FINISHED.value, jobs.c.queue.not_in(own), jobs.c.due > least)
                .values(due=jobs.c.finished + kept)
            )
            if known is None:
                await connection.execute(facts.insert().values(name=FACT, value=str(kept)))
            else:
                await connection.execute(update(facts).where(facts.c.name == FACT).values(value=str(kept)))
