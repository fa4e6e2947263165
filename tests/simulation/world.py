"""One simulated run: a seed makes a world, bad things happen in it, then all is healed and must come right."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

from asman_server.core import QueueCore, QueuePolicy
from asman_server.core.worker import Presence
from asman_server.dialect import session as dialect_session
from asman_server.sessions import session as native_session
from asman_shared.definition import Definition
from asman_shared.identity import job_id
from asman_shared.messages import Callback, Callbacks, Submit
from asman_shared.states import Phase
from tests.simulation.actors import SimClient, SimWorker, definition
from tests.simulation.choosers import Chooser
from tests.simulation.database import SimDatabase
from tests.simulation.host import Host
from tests.simulation.judge import LOOK_TWICE, Judge
from tests.support.invariants import check_capacity, check_core, check_no_idle_hands

BAD_SECONDS = 120.0
HEALED_SECONDS = 900.0


class World:
    """See the module. Everything random is drawn from the seed, so the same seed is the same run."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.database = SimDatabase(self.random)
        self.calm = self.random.random() < 0.3
        self.database.slow = self.random.choice([0.002, 0.002, 0.3])
        policy = QueuePolicy(
            grace=60_000 if self.calm else self.random.choice([1000, 5000, 30_000]),
            assigned_limit=15_000,
            run_slack=20_000,
            retention=self.random.choice([100_000, *[24 * 3_600_000] * 4]),
            patience=10_000,
            finished_kept=self.random.choice([1, 2, 1000]),
        )
        self.retention = policy.retention
        self.judge = Judge(self)
        self.database.on_row = self.judge.committed
        self.database.on_forget = self.judge.forgotten
        delay = self.random.choice([0.001, 0.02, 0.3])
        self.host = Host(self.random, self.database, policy, delay, self.judge.call)
        self.workers = [
            SimWorker(self, f"w{n}", self.random.choice([1, 2, 4])) for n in range(self.random.randint(1, 4))
        ]
        self.workers[0].cpus = 4
        self.clients = [SimClient(self, f"c{n}", watching=n == 0) for n in range(self.random.randint(1, 4))]
        # Drawn apart, so that the runs without them are what they were before there were any.
        choosing = Random(f"{seed} choosers")
        some = choosing.random() < 0.4
        self.choosers = [
            Chooser(self, f"j{n}", choosing.choice([1, 2, 4])) for n in range(choosing.choice([1, 2]) * some)
        ]
        self.cancels: dict[str, set[str]] = defaultdict(set)
        self.deletes: set[str] = set()
        self.slotted: set[str] = set()
        self.limited: set[str] = set()
        self.healed = False
        self.handled = 0
        self._kinds: dict[str, str] = {}
        self._submitted: list[str] = []

    def kind_of(self, made: Definition) -> str:
        return made.image or ""

    async def run(self) -> None:
        """Plays the run.

        Raises:
            AssertionError: A promise was broken.
        """
        self.host.start()
        actors = [asyncio.ensure_future(actor.live()) for actor in [*self.workers, *self.choosers, *self.clients]]
        mischief = [asyncio.ensure_future(task) for task in (self._wishes(), self._trouble())]
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._failed)
        try:
            while loop.time() < BAD_SECONDS:
                await asyncio.sleep(1)
                self._check(actors + mischief)
            for task in mischief:
                task.cancel()
            self._heal()
            while loop.time() < BAD_SECONDS + HEALED_SECONDS and self._restless():
                await asyncio.sleep(1)
                self._check(actors)
            self._check(actors)
            self.judge.final()
        finally:
            for task in [*actors, *mischief]:
                task.cancel()
            self.host.kill()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A timer of the hub failed: its loop would only say so."""
        if "handle" in context and self.host.broken is None:
            self.host.broken = context.get("exception")
        loop.default_exception_handler(context)

    def _check(self, tasks: Sequence[asyncio.Future[None]]) -> None:
        if self.host.broken is not None:
            raise AssertionError(f"the hub failed: {self.host.broken}") from self.host.broken
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        for shell in self.host.registry.queues.values() if self.host.registry is not None else ():
            for incarnation in shell.links:
                worker = shell.core.workers.get(incarnation)
                assert worker is not None, "a connected worker is not known"
                assert worker.presence is not Presence.AWAY, "a connected worker is thought to be away"

    def _restless(self) -> bool:
        jobs = self.database.jobs_now("sim").values()
        return bool(
            any(not job.state.over for job in jobs)
            or self.database.calls
            or (self.retention < 3_600_000 and asyncio.get_running_loop().time() < BAD_SECONDS + LOOK_TWICE)
            or any(client.wanted or client.cancelling or client.deleting for client in self.clients)
            or any(worker.runs for worker in self.hands)
        )

    def _heal(self) -> None:
        self.healed = True
        self.database.away = False
        self.host.stall_some(1, stalled=False)
        if not self.host.up:
            self.host.start()

    async def _wishes(self) -> None:
        """Clients submit, cancel and delete."""
        number = 0
        crowded = self.random.random() < 0.2
        total = 60 if crowded else self.random.randint(3, 25)
        while True:
            await asyncio.sleep(self.random.expovariate(1 / (0.4 if crowded else 2.0)))
            client = self.random.choice(self.clients)
            draw = self.random.random()
            if draw < 0.7 and number < total:
                number += 1
                kind = self.random.choices(["fine", "fails", "long", "poison", "stuck"], [16, 4, 4, 2, 1])[0]
                self._want(client, definition(number, kind, self.random.choice([1, 1, 1, 2, 4])))
            elif draw < 0.8 and self._submitted:
                job = self.random.choice(self._submitted)
                namespace = self.random.choice(["_", "*", "a", "b"])
                self.cancels[job].add(namespace)
                client.cancel(job, namespace)
            elif draw < 0.85 and self._submitted:
                job = self.random.choice(self._submitted)
                self.deletes.add(job)
                client.delete(job)
            elif self._submitted:
                again = self._known[self.random.choice(self._submitted)]
                self._want(client, again)

    @property
    def hands(self) -> list[SimWorker | Chooser]:
        """Workers of both kinds."""
        return [*self.workers, *self.choosers]

    @property
    def poisoned(self) -> bool:
        """Whether a job has killed workers, with all that they ran besides."""
        return any(made.image == "poison" for made in self._known.values())

    @property
    def _known(self) -> dict[str, Definition]:
        return self.__dict__.setdefault("_definitions", {})  # type: ignore[no-any-return]

    def _want(self, client: SimClient, made: Definition) -> None:
        job = job_id(made)
        self._known[job] = made
        if job not in self._submitted:
            self._submitted.append(job)
        namespace = self.random.choice(["_", "_", "a", "b"])
        if namespace != "_":
            self.slotted.add(job)
        reuse: Any = self.random.choices(["cached", "never"], [9, 1])[0]
        if reuse == "never":
            self.judge.forced.add(job)
        wish = Submit(
            ref=0, definition=made, namespace=namespace, reuse=reuse, priority=self.random.choice([0, 0, 0, 5])
        )
        if made.image == "stuck":
            wish.phase_limits = {Phase.STAGING: 3000}
        if self.random.random() < 0.1:
            wish.queue_limit = self.random.choice([3000, 30_000])
            self.limited.add(job)
        if self.random.random() < 0.3:
            wish.callbacks = Callbacks(
                queued=Callback("https://one.example/queued"), finished=Callback("https://two.example/finished")
            )
        client.want(job, wish)

    async def _trouble(self) -> None:
        """Everything that goes wrong between machines."""
        while True:
            await asyncio.sleep(self.random.expovariate(1 / 6.0))
            draw = self.random.random()
            if self.calm and 0.25 <= draw < 0.65:
                continue
            if draw < 0.25:
                self.host.cut_some(0.5)
            elif draw < 0.45:
                await self._later(lambda: self.host.stall_some(0.5, True), lambda: self.host.stall_some(1, False))
            elif draw < 0.65:
                self.random.choice(self.hands).die()
            elif draw < 0.85:
                self.host.kill()
                await asyncio.sleep(self.random.expovariate(1 / 3.0))
                self.host.start()
            else:
                await self._later(self._database_away, self._database_back)

    async def _later(self, begin: Any, end: Any) -> None:
        begin()
        try:
            await asyncio.sleep(self.random.choice([0.5, 5, 40]))
        finally:
            end()

    def _database_away(self) -> None:
        self.database.away = True

    def _database_back(self) -> None:
        self.database.away = False


def watch_cores(world: World) -> Any:
    """Has the invariants of cores checked after every event; returns what undoes it."""

    def watch(core: QueueCore) -> None:
        try:
            world.handled += 1
            check_core(core)
            check_capacity(core)
            check_no_idle_hands(core)
        except Exception as error:
            # A session would answer this like any bug and go on; here it ends the run.
            world.host.broken = world.host.broken or error
            raise

    class Watched(logging.LoggerAdapter[logging.Logger]):
        """A session ends politely when the hub has a bug; here that ends the run."""

        def exception(self, *_args: Any, **_more: Any) -> None:
            world.host.broken = world.host.broken or sys.exc_info()[1]

    modules: list[Any] = [native_session, dialect_session]
    logs = [(module, module.log) for module in modules]
    for module, log in logs:
        module.log = Watched(log)
    world.host.observer = watch

    def undo() -> None:
        world.host.observer = None
        for module, log in logs:
            module.log = log

    return undo


def simulate(seed: int) -> World:
    """Plays one seed.

    Raises:
        AssertionError: A promise was broken; the seed replays it.
    """
    from tests.simulation.loop import run_virtual

    world = World(seed)
    undo = watch_cores(world)
    try:
        run_virtual(world.run)
    finally:
        undo()
    return world
