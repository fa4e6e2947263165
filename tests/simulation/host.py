"""A hub of the simulation: real registry, shells, core, group commit and sessions, on a simulated database."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from asman_server.access import access
from asman_server.blobs import BlobService
from asman_server.core import QueuePolicy
from asman_server.delivery.send_buffer import Flusher
from asman_server.dialect.queue_views import QueueViews
from asman_server.dialect.worker_session import DialectWorker
from asman_server.hub import Hub
from asman_server.job_links import JobLinks
from asman_server.logs.reader import LogReader
from asman_server.queues.registry import Registry
from asman_server.queues.retention import Retention
from asman_server.queues.shell import Observer
from asman_server.services import Services
from asman_server.sessions.client import ClientSession
from asman_server.sessions.worker import WorkerSession
from asman_server.storage.commit import WebhookRow
from asman_server.storage.group_commit import GroupCommitter
from asman_server.storage.reader import Reader
from asman_server.webhooks.deliver import Deliverer
from asman_shared.encoded import Language
from asman_shared.errors import AsmanError
from asman_shared.running.supervisor import Supervisor
from tests.simulation.database import SimDatabase
from tests.simulation.errors import TaskLostError
from tests.simulation.loop import virtual_clock
from tests.simulation.network import Connection, HubEnd

QUEUE = "sim"
RESTART_SECONDS = 1.0
"""Time until a hub that has ended by itself is started again, in seconds."""
Kind = type[ClientSession] | type[WorkerSession] | type[DialectWorker]


class Host:
    """The machine the hub runs on: the hub can be killed and started again; the database stays."""

    def __init__(
        self,
        stream: Callable[[str], Random],
        database: SimDatabase,
        policy: QueuePolicy,
        delay: float,
        call: Callable[[WebhookRow], Awaitable[None]],
    ) -> None:
        self._stream = stream
        self.database = database
        self.registry: Registry | None = None
        self.starts = 0
        self.observer: Observer | None = None
        self.on_broken: Callable[[BaseException], None] | None = None
        self._broken: BaseException | None = None
        self._policy = policy
        self._delay = delay
        self._call = call
        # In order of their start: a set would have another order in each process.
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._own: list[asyncio.Task[None]] = []
        self._lost: set[asyncio.Task[None]] = set()
        self._connections: dict[Connection, None] = {}
        self._dialled: Counter[str] = Counter()
        self._views: QueueViews
        self._services = Services(cast(BlobService, None), Flusher(), virtual_clock, LogReader(), JobLinks(b""))

    @property
    def broken(self) -> BaseException | None:
        """Returns the first error of the hub that must not happen."""
        return self._broken

    @broken.setter
    def broken(self, error: BaseException | None) -> None:
        if self._broken is None and error is not None:
            self._broken = error
            if self.on_broken is not None:
                self.on_broken(error)

    @property
    def up(self) -> bool:
        return self.registry is not None

    def start(self) -> None:
        """Starts a hub on the contents of the database, if none runs."""
        if self.registry is not None:
            return
        self.starts += 1
        self._views = QueueViews(cast(Reader, self.database), virtual_clock)
        self._services = Services(cast(BlobService, None), Flusher(), virtual_clock, LogReader(), JobLinks(b""))
        committer = GroupCommitter(self.database)
        self.registry = Registry(committer, cast(Reader, self.database), virtual_clock, self._policy, self.observer)
        deliverer = Deliverer(
            self.database, committer, self._call, virtual_clock, self._stream(f"webhooks {self.starts}").random
        )
        committer.on_webhooks = deliverer.wake
        reader = cast(Reader, self.database)
        retention = Retention(self.registry, reader, committer, virtual_clock, self._policy.retention)
        self._lost.clear()
        supervisor = Supervisor(logging.getLogger("asman.hub"), "hub")
        self._own = [
            supervisor.start(name, self._mortal(work))
            for name, work in (
                ("group commit", committer.run()),
                ("webhooks", deliverer.run()),
                ("retention", retention.run()),
                ("looking after queues", self.registry.look_after()),
            )
        ]
        for task in self._own:
            self._keep(task)
        self._spawn(self._restart_after(supervisor))

    async def _mortal(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the work of one of the hub's own tasks, which fails after `lose_task`."""
        try:
            await work
        except asyncio.CancelledError:
            if asyncio.current_task() in self._lost:
                raise TaskLostError from None
            raise
        except Exception as error:
            self.broken = error
            raise

    async def _restart_after(self, supervisor: Supervisor) -> None:
        """Starts the hub again when a task of it has ended, as the service manager of a machine does."""
        await supervisor.ended.wait()
        asyncio.get_running_loop().call_later(RESTART_SECONDS, self.start)
        self.kill()

    def lose_task(self, draw: int) -> None:
        """Makes one of the hub's own tasks fail."""
        if self.registry is not None:
            task = self._own[draw % len(self._own)]
            self._lost.add(task)
            task.cancel()

    def _spawn(self, work: Any) -> None:
        self._keep(asyncio.get_running_loop().create_task(work))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks[task] = None
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            self.broken = task.exception()

    def kill(self) -> None:
        """Dies as by SIGKILL: nothing is sent, written or cleaned up afterwards."""
        if self.registry is None:
            return
        for shell in self.registry.queues.values():
            shell.halt()
        self.registry = None
        for connection in list(self._connections):
            connection.sever()
        for task in list(self._tasks):
            task.cancel()

    def connect(self, kind: Kind, who: str) -> Connection | None:
        """Opens a connection of an actor; returns None if no hub listens."""
        if self.registry is None:
            return None
        self._dialled[who] += 1
        name = f"{who}#{self._dialled[who]}"
        connection = Connection(name, self._stream(name), self._delay)
        self._connections[connection] = None
        self._spawn(self._serve(kind, connection, self.registry))
        return connection

    async def _serve(self, kind: Kind, connection: Connection, registry: Registry) -> None:
        websocket, views = cast(Any, HubEnd(connection)), self._views
        try:
            async with registry.using(QUEUE) as shell:
                if issubclass(kind, DialectWorker):
                    async with views.using(shell) as view:
                        parts = {"files": SimpleNamespace(keep=_keep), "config": SimpleNamespace(private_ids=False)}
                        hub = cast(Hub, SimpleNamespace(clock=virtual_clock, **parts))
                        await kind(websocket, access(QUEUE), view, views, hub).run()
                else:
                    await kind(websocket, Language.MSGPACK, access(QUEUE), shell, self._services).run()
        except AsmanError:
            pass
        finally:
            self._connections.pop(connection, None)
            connection.sever()

    def some(self, share: float, draw: int) -> list[Connection]:
        """Draws some of the connections; each is drawn by its own name, independently of the others."""
        return [c for c in self._connections if share >= 1 or Random(f"{draw} {c.name}").random() < share]


async def _keep(_body: bytes, _sha256: str) -> None:
    raise AssertionError("jobs of the simulation make no files")
