"""Manages the queues of one hub: loads them at first use and unloads them when they are idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

from asman_shared.errors import AsmanError, CloseCode, Overloaded, Unavailable

from ..awaited import Awaited
from ..clock import Clock
from ..core import QueuePolicy
from ..limiting import Limiter
from ..meters import JobMeter
from ..names import UNKEYED, ShortNames
from ..storage.commit import Unwritable
from ..storage.group_commit import GroupCommitter
from ..storage.reader import Reader
from . import deletion
from .deletion import DELETING, Deletion, Socket
from .log_backlog import HUB_BYTES, LogBacklog
from .shell import Observer, QueueShell

log = logging.getLogger("asman.hub.registry")

QUEUES: Final = 100_000
"""Largest number of queues in memory."""
RETRY_SECONDS: Final = 1.0
"""Pause at the start before an unavailable store is read again, in seconds."""
SWEEP_SECONDS: Final = 60.0
"""Time between two sweeps that unload idle queues, in seconds."""
LATER: Final = "the hub can't write to its database now: the queue is deleted as soon as it can"


class KeyKeeper(Protocol):
    """Makes the keys to queues work; see `asman_server.keys.Keys`."""

    async def loaded(self, queue: str) -> None:
        """Notes that a queue is in memory."""

    def keep(self, queue: str) -> None:
        """Notes that a run begins in a queue, or that it is configured."""

    def unloaded(self, queue: str) -> None:
        """Notes that a queue has left memory."""

    def deleted(self, queue: str) -> None:
        """Notes that a queue is deleted with its keys."""


class Registry:
    """The queues of one hub that are in memory.

    Args:
        committer: Makes queues durable.
        store: Reads the durable state.
        clock: Returns the current time.
        policy: The operator's settings.
        observer: Called with a queue's core after each event, for simulations.
        short_names: Names queues in logs and metrics.
        keys: Makes the keys to queues work; None for a hub without keys.
        limiter: Decides what is taken from a sender; None for everything.

    Attributes:
        on_deleted: Called with the name of each queue whose deletion is durable.
    """

    def __init__(
        self,
        committer: GroupCommitter,
        store: Reader,
        clock: Clock,
        policy: QueuePolicy,
        observer: Observer | None = None,
        short_names: ShortNames = UNKEYED,
        keys: KeyKeeper | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        self.queues: dict[str, QueueShell] = {}
        self.meter = JobMeter()
        self.log_backlog = LogBacklog(HUB_BYTES)
        self._committer = committer
        self._store = store
        self._clock = clock
        self._policy = policy
        self._observer = observer
        self._short_names = short_names
        self._keys = keys
        self._limiter = limiter
        self._loading: dict[str, asyncio.Task[QueueShell]] = {}
        self._deleting: set[str] = set()
        self.on_deleted: list[Callable[[str], None]] = []
        self._lingering: set[str] = set()
        """Queues that were asked about since the last sweep."""

    async def look_after(self) -> None:
        """Loads the queues with unfinished work from before the start, then sweeps, until it is cancelled.

        The hub listens meanwhile: a request waits only for its own queue to be loaded.
        """
        while True:
            try:
                await self._take_up_work()
            except Unavailable:
                log.warning("queues with unfinished jobs can't be loaded yet; trying again")
                await asyncio.sleep(RETRY_SECONDS)
            else:
                break
        await self._sweep()

    async def _take_up_work(self) -> None:
        """Loads the queues with running jobs: their workers will come back, or be counted as lost."""
        for name in await self._store.queues_at_work():
            await self.queue(name)
        log.info("loaded the queues with unfinished jobs", extra={"queues": len(self.queues)})

    async def queue(self, name: str) -> QueueShell:
        """Returns the queue of this name, loaded from the store at first use.

        Raises:
            Overloaded: Too many queues are in memory.
            Unavailable: The database can't be read, or the queue is being deleted.
        """
        shell = self.queues.get(name)
        if shell is not None:
            return shell
        if name in self._deleting:
            raise Unavailable(DELETING)
        loading = self._loading.get(name)
        if loading is None:
            if len(self.queues) + len(self._loading) >= QUEUES:
                self._unload_idle()
            if len(self.queues) + len(self._loading) >= QUEUES:
                raise Overloaded(f"this hub has {QUEUES} queues in use; try again later")
            loading = self._loading[name] = asyncio.get_running_loop().create_task(self._load(name))
        return await asyncio.shield(loading)

    async def _load(self, name: str) -> QueueShell:
        try:
            shell = QueueShell(
                name,
                self._committer,
                self._store,
                self._clock,
                self._policy,
                self.log_backlog,
                self._observer,
                self._short_names,
                self._limiter,
            )
            shell.meter.whole = self.meter
            shell.delete = partial(self.delete, shell)
            if self._keys is not None:
                await self._keys.loaded(name)
                shell.on_kept = self._keys.keep
            await shell.load()  # the last that can fail, since a loaded queue has a timer
            self.queues[name] = shell
            return shell
        except BaseException:
            if self._keys is not None:
                self._keys.unloaded(name)
            raise
        finally:
            del self._loading[name]

    @asynccontextmanager
    async def using(self, name: str, *, linger: bool = False) -> AsyncIterator[QueueShell]:
        """Returns the queue and keeps it in memory while the context lasts.

        Args:
            name: The queue's name.
            linger: Keep the queue in memory if it has jobs there, until a sweep finds that it was not asked about since
                the one before. So a script that polls over HTTP does not load it again and again.
        """
        shell = await self.queue(name)
        while self.queues.get(name) is not shell:
            shell = await self.queue(name)
        shell.connections += 1
        try:
            yield shell
        finally:
            shell.connections -= 1
            if linger and shell.core.jobs:
                self._lingering.add(name)
            else:
                self._unload(shell)

    def at_hand(self, name: str) -> QueueShell | None:
        """Returns a queue that is in memory, and lets it linger there; for what needs no wait."""
        shell = self.queues.get(name)
        if shell is not None and shell.core.jobs:
            self._lingering.add(name)
        return shell

    def _unload(self, shell: QueueShell) -> None:
        """Removes a queue from memory if it is idle; all its state is in the store."""
        if shell.idle and not self._committer.holds(shell.name) and self.queues.get(shell.name) is shell:
            shell.stop_timers()
            shell.core.unload()
            del self.queues[shell.name]
            if self._keys is not None:
                self._keys.unloaded(shell.name)

    async def delete(self, shell: QueueShell, requester: Socket | None = None) -> Deletion:
        """Deletes a queue that is in memory; returns what is gone once that is durable.

        Until then the queue takes nothing any more, and its name can't be used. Then its attempts are stopped and its
        sockets are closed. After a crash before that, nothing has happened.

        Args:
            shell: The queue.
            requester: The socket that asked for it, which is left open.

        Raises:
            NotFound: It was deleted meanwhile.
            Conflict: It has more than `deletion.MOST_JOBS` jobs.
            Unavailable: It is being deleted, or the database can't be written now. If that is noticed only by the
                commit of the deletion, the queue is deleted as soon as it can be.
        """
        name = shell.name
        if self.queues.get(name) is not shell:
            raise deletion.refusal(shell)
        if self._committer.failing is not None:
            raise Unavailable(f"the hub can't write to its database now ({self._committer.failing}); try again")
        found = deletion.begin(shell)
        del self.queues[name]
        self._deleting.add(name)
        told: Awaited[None] = Awaited()

        def refused(error: AsmanError) -> None:
            nonlocal requester
            requester = None  # it has its answer
            told.refuse(error if isinstance(error, Unwritable) else Unavailable(LATER))

        def gone(erased: bool) -> None:
            self._deleting.discard(name)
            if not erased:  # who comes back finds the queue as it is stored
                deletion.close_sockets(shell, CloseCode.RESTART)
                return
            if self._keys is not None:
                self._keys.unloaded(name)
                self._keys.deleted(name)
            deletion.end(shell, requester)
            for forget in self.on_deleted:
                forget(name)
            log.info("a queue was deleted by its owner", extra={"queue": shell.short, "jobs": found.jobs})

        self._committer.erase(name, gone)
        self._committer.afterwards(name, lambda: told.say(None), refused)
        await told
        return found

    def _unload_idle(self) -> None:
        for shell in list(self.queues.values()):
            self._unload(shell)

    async def _sweep(self) -> None:
        """Unloads idle queues periodically."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Unloads the idle queues that were not asked about since the last sweep."""
        lingering, self._lingering = self._lingering, set()
        for shell in list(self.queues.values()):
            if shell.name not in lingering:
                self._unload(shell)

    async def close(self) -> None:
        """Closes the queues, which hand their unstored lines to the group commit."""
        for shell in list(self.queues.values()):
            await shell.close()
