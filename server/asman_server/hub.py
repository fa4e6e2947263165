"""The hub: all queues of this process, their journal, their blobs, and when each is in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Overloaded
from asman_shared.units import parse_duration

from .blobs import FolderStore
from .clock import Clock, wall_clock
from .config import HubConfig
from .core import QueuePolicy
from .core import events as ev
from .database import make_engine, migrate
from .journal import Journal
from .outbox import Flusher
from .queue_shell import QueueShell
from .session import SocketSession
from .signing import Signer, load_secret
from .store import Store

log = logging.getLogger("asman.hub")

QUEUES = 100_000
"""Queues in memory at most."""
SWEEP = 60.0
"""Seconds between two looks for idle queues and for what has reached the end of its retention."""


class Hub:
    """See the module. Use as an async context manager: it is open inside.

    Args:
        config: The settings.
        clock: Now.
    """

    def __init__(self, config: HubConfig, clock: Clock = wall_clock) -> None:
        self.config = config
        self.clock = clock
        self.flusher = Flusher()
        self.queues: dict[str, QueueShell] = {}
        self.sessions: set[SocketSession[object]] = set()
        self._loading: dict[str, asyncio.Task[QueueShell]] = {}
        self._policy = QueuePolicy(grace=parse_duration(config.grace))
        config.data_dir.mkdir(parents=True, exist_ok=True)
        self.signer = Signer(load_secret(config.data_dir / "secret"))
        self.blobs = FolderStore(config.data_dir / "blobs", self.signer, clock)
        self.engine: AsyncEngine
        self.journal: Journal
        self.store: Store

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Hub]:
        """Opens the database and takes up the queues that were at work; closes everything in the right order.

        On the way out: connections are told to come back later, then the last commit is written, then the database
        is closed.
        """
        self.engine = make_engine(self.config.database)
        try:
            await migrate(self.engine)
            self.journal = Journal(self.engine)
            self.store = Store(self.engine)
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self.journal.run())
                sweeping = tasks.create_task(self._sweep())
                for name in await self.store.queues_at_work():
                    await self.queue(name)
                log.info(
                    "hub open", extra={"database": self.engine.url.get_backend_name(), "at_work": len(self.queues)}
                )
                try:
                    yield self
                finally:
                    sweeping.cancel()
                    for shell in self.queues.values():
                        await shell.close()
                    self.journal.close()
                    await asyncio.wait([writing], timeout=self.config.shutdown_timeout)
                    writing.cancel()
        finally:
            await self.engine.dispose()
            log.info("hub closed")

    async def queue(self, name: str) -> QueueShell:
        """The queue of this name, loaded from the store at first use.

        Raises:
            Overloaded: Too many queues are in memory.
            Unavailable: The database can't be read.
        """
        shell = self.queues.get(name)
        if shell is not None:
            return shell
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
            shell = QueueShell(name, self.journal, self.store, self.clock, self._policy)
            await shell.load()
            self.queues[name] = shell
            return shell
        finally:
            del self._loading[name]

    @asynccontextmanager
    async def connected(self, name: str) -> AsyncIterator[QueueShell]:
        """The queue, kept in memory for as long as this lasts."""
        while True:
            shell = await self.queue(name)
            if self.queues.get(name) is shell:
                break
        shell.connections += 1
        try:
            yield shell
        finally:
            shell.connections -= 1
            self._unload(shell)

    def _unload(self, shell: QueueShell) -> None:
        """Lets a queue leave memory when nobody uses it; all it knows is in the store or on its way there."""
        if shell.idle and not self.journal.holds(shell) and self.queues.get(shell.name) is shell:
            del self.queues[shell.name]

    def _unload_idle(self) -> None:
        for shell in list(self.queues.values()):
            self._unload(shell)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            before = self.clock() - parse_duration(self.config.retention)
            for shell in list(self.queues.values()):
                shell.apply(ev.Expired(before))
            self._unload_idle()
