"""Reads jobs back that are in the store alone, when they are requested and only if they can be there.

A queue that was loaded from the store does not know which jobs are stored, so it looks up each job that is not in
memory. After some lookups it reads the ids of all stored jobs in the background, and then looks up only those.

A job that is being removed is not read back: neither before its removal is durable, nor by a read that began before
that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from asman_shared.errors import Unavailable

from ..core import Job, QueueCore
from ..core import events as ev
from ..storage.reader import Reader

log = logging.getLogger("asman.hub.queue")

AHEAD_FROM: Final = 2
"""Smallest number of jobs that are read back together in advance."""
KNOWN_MISSING: Final = 10_000
"""Number of ids remembered as not stored; they are of jobs that are about to be submitted."""
LOOKUPS_BEFORE_INDEX: Final = 20
"""Number of lookups in the store after which all stored ids are read; fewer where few finished jobs stay in memory."""
PAGE: Final = 2000
"""Number of ids read together."""

Removal = tuple[int, int]
"""A removal of a job: the time at which the job was submitted, and its last revision."""


class Recall:
    """Reads the jobs of one queue back from the store.

    Args:
        queue: The queue's name.
        core: The queue's core.
        store: Reads the durable state.
        apply: Puts an event through the core.
    """

    def __init__(self, queue: str, core: QueueCore, store: Reader, apply: Callable[[ev.Event], None]) -> None:
        self._queue = queue
        self._core = core
        self._store = store
        self._apply = apply
        self._forgetting: dict[str, Removal] = {}
        self._removals = 0
        self._missing: set[str] = set()
        self._looking: list[set[str]] = []
        self._lookups = 0
        self._learning: asyncio.Task[None] | None = None

    def needed(self, job_id: str) -> bool:
        """Returns whether a job may be in the store alone, so that it must be read back before the queue can answer."""
        core = self._core
        return job_id not in core.jobs and core.may_be_stored(job_id) and job_id not in self._missing

    async def job(self, job_id: str) -> Job | None:
        """Returns the job in memory, read back from the store if it had left; None if there is none.

        Raises:
            Unavailable: The database can't be read now.
        """
        if self.needed(job_id):
            for job in await self.away([job_id]):
                self._apply(ev.Recalled(job))
        return self._core.jobs.get(job_id)

    async def ahead(self, ids: list[str]) -> None:
        """Reads jobs back together that will be needed one by one, and remembers which ones the store does not have.

        Raises:
            Unavailable: The database can't be read now.
        """
        asked = [i for i in ids if self.needed(i)]
        if len(asked) < AHEAD_FROM:
            return
        submitted: set[str] = set()
        self._looking.append(submitted)
        try:
            found = await self.away(asked)
        finally:
            self._looking = [other for other in self._looking if other is not submitted]
        for job in found:
            if job.id not in self._core.jobs:
                self._apply(ev.Recalled(job))
        if len(self._missing) > KNOWN_MISSING:
            self._missing.clear()
        # A job submitted meanwhile may have ended, and left memory, since the store was read.
        known = {job.id for job in found} | self._forgetting.keys() | submitted
        self._missing.update(i for i in asked if i not in known and i not in self._core.jobs)

    async def away(self, ids: list[str]) -> list[Job]:
        """Returns those of the given jobs that are in the store alone, as stored.

        Raises:
            Unavailable: The database can't be read now.
        """
        core, forgetting = self._core, self._forgetting
        while True:
            away = [i for i in ids if i not in core.jobs and i not in forgetting and core.may_be_stored(i)]
            if not away:
                return []
            self._asked()
            removals = self._removals
            stored = await self._store.jobs(self._queue, away)
            if removals == self._removals:
                return [job for job in stored if job.id not in core.jobs and job.id not in forgetting]

    def _asked(self) -> None:
        if self._learning is None and not self._core.knows_stored:
            self._lookups += 1
            if self._lookups > min(LOOKUPS_BEFORE_INDEX, self._core.policy.finished_kept):
                self._lookups = 0
                self._learning = asyncio.get_running_loop().create_task(self._learn())

    async def _learn(self) -> None:
        """Reads the ids of all stored jobs; the core itself tracks jobs that leave memory meanwhile."""
        after = ""
        try:
            while True:
                found = await self._store.ids(self._queue, after, PAGE)
                self._core.found_stored(found, last=len(found) < PAGE)
                if self._core.knows_stored:
                    return
                after = found[-1]
        except Unavailable:
            log.info("the ids of a queue's stored jobs can't be read now")
        finally:
            self._learning = None

    def stop(self) -> None:
        """Stops reading the ids of stored jobs."""
        if self._learning is not None:
            self._learning.cancel()

    async def close(self) -> None:
        """Stops reading the ids of stored jobs, and waits until that has ended."""
        self.stop()
        if self._learning is not None:
            await asyncio.wait([self._learning])

    def submitted(self, job_id: str) -> None:
        """Notes that a job is being submitted: no earlier or running lookup counts it as missing any more."""
        self._missing.discard(job_id)
        for submitted in self._looking:
            submitted.add(job_id)

    def forgetting(self, job_id: str, removal: Removal) -> None:
        """Notes that a job is being removed from the store."""
        self._forgetting[job_id] = removal

    def forgotten(self, job_id: str, removal: Removal) -> None:
        """Notes that a removal of a job is durable; a later one of a new job with this id may not be."""
        self._removals += 1
        if self._forgetting.get(job_id) == removal:
            del self._forgetting[job_id]
