"""Hands attempts to workers, with their definitions, which are cached or fetched from the store.

The core's assignment stays valid while its definition is fetched. While the store can't be read, the fetch is
tried again with growing waits; after `FETCH_PATIENCE` the assignment is given back, which costs the job nothing. A
job whose definition is not stored any more ends with an error of the hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from asman_shared.definition import Definition
from asman_shared.errors import AsmanError, Unavailable
from asman_shared.messages import Outcome
from asman_shared.states import Fault

from ..core import Job, QueueCore
from ..core import effects as fx
from ..core import events as ev
from ..storage.as_result import as_result
from ..storage.reader import Reader
from .definition_cache import DefinitionCache

log = logging.getLogger("asman.hub.queue")

FETCH_WAIT: Final = 0.1
"""Wait before a failed fetch is tried again, in seconds; it doubles with each try."""
FETCH_PATIENCE: Final = 5.0
"""Time after which an assignment whose definition can't be read is given back, in seconds."""


class WorkerLink(Protocol):
    """A worker's connection, as the queue sees it."""

    session: int

    def assign(self, job: Job, attempt: int, definition: Definition) -> None:
        """Hands an attempt to the worker."""

    def abort(self, job: str, attempt: int, why: str) -> None:
        """Stops an attempt."""

    def acknowledge(self, job: str, attempt: int, accepted: bool) -> None:
        """Tells the worker that it may forget a finished attempt."""

    def resumed(self, effect: fx.Resumed) -> None:
        """Answers the registration."""

    def replaced(self) -> None:
        """Ends the connection: a newer one of the same worker has taken over."""

    def dismissed(self) -> None:
        """Ends the connection: the worker was drained by the queue's owner, and has nothing left."""


class Dispatcher:
    """Hands the attempts of one queue to its workers, with their definitions.

    Args:
        core: The queue's core.
        store: Reads the definitions.
        links: The connections of workers, by incarnation.
        apply: Puts an event through the core.
        queue: The queue's name.
    """

    def __init__(
        self,
        core: QueueCore,
        store: Reader,
        links: dict[str, WorkerLink],
        apply: Callable[[ev.Event], None],
        queue: str,
    ) -> None:
        self.definitions = DefinitionCache(store, self._upcoming, queue)
        self._core = core
        self._links = links
        self._apply = apply
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._closing = False

    @property
    def busy(self) -> bool:
        """Whether definitions are being fetched."""
        return bool(self._tasks)

    async def close(self) -> None:
        """Waits for the definitions that are being fetched, and tries no failed fetch again."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks)

    def assign(self, effect: fx.Assign) -> None:
        """Hands an attempt to its worker, at once if the definition is cached."""
        known = self.definitions.get(effect.job.id)
        if known is None:
            self._beside(self._assign_later(effect))
            return
        self._hand_out(effect, known)
        if self.definitions.low:
            self._beside(self._read_ahead())

    def _beside(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks[task] = None
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]

    def _upcoming(self, count: int) -> Iterator[str]:
        """Returns the ids of about ``count`` jobs that are next, from the front of each shape's line."""
        ready = self._core.ready
        each = max(1, count // max(1, len(ready.lines)))
        for line in islice(ready.lines.values(), count):
            for _, job in islice(line.order(ready.turns), each):
                yield job.id

    async def _read_ahead(self) -> None:
        """Reads the definitions that will be needed next into the cache."""
        failure = await as_result(self.definitions.read_ahead())
        if failure is not None:
            log.info("definitions can't be read ahead", extra={"error": failure.message})

    async def _assign_later(self, effect: fx.Assign) -> None:
        """Fetches a definition that was not cached, then hands out the attempt; meanwhile the assignment holds."""
        incarnation, job_id, attempt = effect.worker.incarnation, effect.job.id, effect.attempt
        definition = await self._fetch(effect)
        if self._core.current(incarnation, job_id, attempt) is None:
            return
        if isinstance(definition, AsmanError):
            log.error(
                "a definition can't be read; its assignment is given back",
                extra={"job": job_id, "error": definition.message},
            )
            self._apply(ev.AttemptReleased(incarnation, job_id, attempt))
        elif definition is None:
            log.error("the definition of an unfinished job is not stored", extra={"job": job_id})
            gone = Outcome(kind="error", message="the hub has lost the definition of this job", fault=Fault.HUB)
            self._apply(ev.AttemptFinished(incarnation, job_id, attempt, gone))
        else:
            self._hand_out(effect, definition)

    async def _fetch(self, effect: fx.Assign) -> Definition | AsmanError | None:
        """Reads the definition of an assigned job; returns the last error after `FETCH_PATIENCE`."""
        incarnation, job_id, attempt = effect.worker.incarnation, effect.job.id, effect.attempt
        loop = asyncio.get_running_loop()
        until, wait = loop.time() + FETCH_PATIENCE, FETCH_WAIT
        while True:
            found = await self._read(job_id, until - loop.time())
            standing = self._core.current(incarnation, job_id, attempt) is not None
            left = until - loop.time()
            if not isinstance(found, AsmanError) or not standing or self._closing or left <= 0:
                return found
            await asyncio.sleep(min(wait, left))
            wait *= 2

    async def _read(self, job_id: str, seconds: float) -> Definition | AsmanError | None:
        """Reads a definition once; a store that doesn't answer in time counts as unavailable."""
        reading = asyncio.get_running_loop().create_task(as_result(self.definitions.read(job_id)))
        done, _ = await asyncio.wait([reading], timeout=max(seconds, 0))
        if done:
            return reading.result()
        reading.cancel()
        return Unavailable("the database did not answer in time")

    def _hand_out(self, effect: fx.Assign, definition: Definition) -> None:
        link = self._links.get(effect.worker.incarnation)
        if link is not None:
            link.assign(effect.job, effect.attempt, definition)
