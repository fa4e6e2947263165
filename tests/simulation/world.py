"""One simulated run: a plan makes a world, faults happen in it, then all is healed and every promise must hold."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections import defaultdict
from random import Random
from typing import Any

from asman_server.core import QueueCore, QueuePolicy
from asman_server.core import events as ev
from asman_server.core.worker import Presence
from asman_server.dialect import session as dialect_session
from asman_server.reply_to import ReplyTo
from asman_server.sessions import session as native_session
from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.identity import job_id
from asman_shared.messages import Callback, Callbacks, Submit
from asman_shared.states import Phase
from tests.simulation.actors import SimClient, SimWorker, definition
from tests.simulation.choosers import Chooser
from tests.simulation.database import SimDatabase
from tests.simulation.faults import FAULTS, Trouble
from tests.simulation.host import Host
from tests.simulation.judge import LOOK_TWICE, Judge
from tests.simulation.loop import run_virtual, virtual_clock
from tests.simulation.plan import Item, Order, Plan, Remove, Stop, Want, Wished, draw_plan
from tests.support.invariants import check_capacity, check_core, check_no_idle_hands, check_orders

HEALED_SECONDS = 900.0
ALWAYS_CHECKED = 30
"""Number of jobs up to which the whole core is checked after every event; with more, after every fourth."""


class TooManyEventsError(Exception):
    """Raised when a run has taken more events than its caller allows."""


class World:
    """All participants of a run. Everything random is drawn from the plan, so the same plan is the same run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        setting = plan.setting
        self.random = plan.stream("world")
        self.database = SimDatabase(plan.stream("database"))
        self.calm = setting.calm
        self.database.slow = setting.slow
        self.database.reading = setting.reading or setting.slow
        policy = QueuePolicy(
            grace=setting.grace,
            assigned_limit=15_000,
            run_slack=20_000,
            retention=setting.retention,
            patience=setting.patience,
            finished_kept=setting.finished_kept,
            log_bytes=setting.log_bytes or limits.LOG_BYTES,
        )
        self.retention = policy.retention
        self.judge = Judge(self)
        self.database.on_row = self.judge.committed
        self.database.on_forget = self.judge.forgotten
        self.database.on_lines = self.judge.lines_stored
        self.database.on_trim = self.judge.trimmed
        self.database.on_unstored = lambda job: self.deletes.add(job)
        self.host = Host(plan.stream, self.database, policy, setting.delay, self.judge.call)
        self.host.on_broken = self._hub_failed
        self.workers = [SimWorker(self, name, cpus) for name, cpus in setting.workers.items()]
        self.clients = [SimClient(self, name, watching=name == setting.watching) for name in setting.clients]
        self.choosers = [Chooser(self, name, cpus) for name, cpus in setting.choosers.items()]
        self.cancels: dict[str, set[str]] = defaultdict(set)
        self.deletes: set[str] = set()
        self.slotted: set[str] = set()
        self.limited: set[str] = set()
        self.healed = False
        self.handled = 0
        self.poisoned = False
        """Whether a job has killed workers, with all their other jobs."""
        self._ids: dict[Wished, str] = {}
        self._over: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None

    def stream(self, name: str) -> Random:
        """Returns the random numbers of one part of the run."""
        return self.plan.stream(name)

    def kind_of(self, made: Definition) -> str:
        return made.image or ""

    async def run(self) -> None:
        """Plays the run.

        Raises:
            AssertionError: A promise was broken.
        """
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        loop.set_exception_handler(self._loop_failed)
        self.host.start()
        actors = [loop.create_task(actor.live()) for actor in [*self.hands, *self.clients]]
        for task in actors:
            task.add_done_callback(self._actor_done)
        due = [loop.call_at(item.at, self._do, item) for item in self.plan.items if item.at < self.plan.bad_seconds]
        loop.call_later(1, self._look)
        try:
            await self._over
        finally:
            for task in actors:
                task.cancel()
            for timer in due:
                timer.cancel()
            self.host.kill()

    # ------------------------------------------------------------------------------------------ errors that end a run

    def fail(self, error: BaseException) -> None:
        """Ends the run; the first error counts."""
        if self._failure is None:
            self._failure = error
            if self._over is not None and not self._over.done():
                self._over.set_exception(error)

    def _hub_failed(self, error: BaseException) -> None:
        if isinstance(error, TooManyEventsError):
            self.fail(error)
            return
        failure = AssertionError(f"the hub failed: {error}")
        failure.__cause__ = error
        self.fail(failure)

    def _actor_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Ends the run when a timer failed; the loop would only log it."""
        error = context.get("exception")
        if "handle" in context and error is not None:
            self.host.broken = error
        loop.default_exception_handler(context)

    # -------------------------------------------------------------------------------------------- the course of the run

    def _look(self) -> None:
        """Checks the world once a second, heals it at the end of the bad time, and ends the run when it rests."""
        loop = asyncio.get_running_loop()
        try:
            self._check()
            if not self.healed and loop.time() >= self.plan.bad_seconds:
                self._heal()
            if self.healed:
                self._take_back_orders()
            if self.healed and (loop.time() >= self.plan.bad_seconds + HEALED_SECONDS or not self._restless()):
                self.judge.final()
                assert not self._followed_for_ever(), "somebody follows the log of a finished job for ever"
                if self._over is not None and not self._over.done():
                    self._over.set_result(None)
                return
        except Exception as error:
            self.fail(error)
            return
        loop.call_later(1, self._look)

    def _check(self) -> None:
        for shell in self.host.registry.queues.values() if self.host.registry is not None else ():
            for incarnation in shell.links:
                worker = shell.core.workers.get(incarnation)
                assert worker is not None, "a connected worker is not known"
                assert worker.presence is not Presence.AWAY, "a connected worker is thought to be away"
            stored = self.database.queues.get(shell.name)
            if stored is not None and stored.paused and not shell.committer.holds(shell.name):
                assert shell.core.paused, "a pause that is durable was forgotten"

    def _restless(self) -> bool:
        time = asyncio.get_running_loop().time()
        return bool(
            self.database.unfinished_now
            or self.database.calls
            or (self.retention < 3_600_000 and time < self.plan.bad_seconds + LOOK_TWICE)
            or any(client.wanted or client.cancelling or client.deleting for client in self.clients)
            or any(worker.runs for worker in self.hands)
            or self._followed_for_ever()
        )

    def _followed_for_ever(self) -> list[str]:
        """Lists finished jobs whose logs a client still follows, as if more lines could come."""
        shells = self.host.registry.queues.values() if self.host.registry is not None else ()
        return [
            job_id
            for shell in shells
            for job_id, log in shell.logs.open_logs.items()
            if log.followers and (job_id not in shell.core.jobs or shell.core.jobs[job_id].state.over)
        ]

    def _heal(self) -> None:
        self.healed = True
        self.database.away = False
        for connection in self.host.some(1, 0):
            connection.stall(False)
        if not self.host.up:
            self.host.start()

    @property
    def hands(self) -> list[SimWorker | Chooser]:
        """Returns the workers of both kinds."""
        return [*self.workers, *self.choosers]

    # -------------------------------------------------------------------------------------------- items of the plan

    def _do(self, item: Item) -> None:
        """Carries out an item of the plan."""
        if self.healed:
            return
        if isinstance(item, Trouble):
            fault = FAULTS[item.fault]
            fault.begin(self, item)
            if fault.end is not None:
                asyncio.get_running_loop().call_later(item.seconds, self._undo, item)
            return
        if isinstance(item, Order):
            self._order(item)
            return
        client = next((client for client in self.clients if client.name == item.client), None)
        if client is None:
            return
        job = self._id_of(item.job)
        if isinstance(item, Want):
            self._want(client, job, item)
        elif isinstance(item, Stop):
            self.cancels[job].add(item.namespace)
            client.cancel(job, item.namespace)
        elif isinstance(item, Remove):
            self.deletes.add(job)
            client.delete(job)

    def _order(self, item: Order) -> None:
        """Carries out what the owner wants, if a hub is there."""
        for shell in self.host.registry.queues.values() if self.host.registry is not None else ():
            if item.what == "drain":
                shell.apply(ev.DismissRequested(item.worker, reply_to=_NOBODY))
            else:
                shell.configure(None, _NOBODY, item.what == "pause")

    def _take_back_orders(self) -> None:
        """Gives jobs again, to all workers: the owner, too, is healed."""
        self._order(Order(0.0, "resume"))
        for shell in self.host.registry.queues.values() if self.host.registry is not None else ():
            present = {worker.info.name for worker in shell.core.workers.values() if worker.leaving}
            for name in sorted(present | {name for name, _ in shell.core.state.drained.values()}):
                shell.apply(ev.DismissRequested(name, reply_to=_NOBODY, undo=True))

    def _undo(self, trouble: Trouble) -> None:
        end = FAULTS[trouble.fault].end
        if end is not None and not self.healed:
            end(self)

    def _id_of(self, job: Wished) -> str:
        known = self._ids.get(job)
        if known is None:
            known = self._ids[job] = job_id(definition(job.number, job.kind, job.cpus))
        return known

    def _want(self, client: SimClient, job: str, item: Want) -> None:
        made = definition(item.job.number, item.job.kind, item.job.cpus)
        if item.job.kind == "poison":
            self.poisoned = True
        if item.namespace != "_":
            self.slotted.add(job)
        if item.forced:
            self.judge.forced.add(job)
        wish = Submit(
            ref=0,
            definition=made,
            namespace=item.namespace,
            reuse="never" if item.forced else "any" if item.any else "success",
            priority=item.priority,
        )
        if item.job.kind == "stuck":
            wish.phase_limits = {Phase.STAGING: 3000}
        if item.queue_limit:
            wish.queue_limit = item.queue_limit
            self.limited.add(job)
        if item.hooked:
            wish.callbacks = Callbacks(
                queued=Callback("https://one.example/queued"), finished=Callback("https://two.example/finished")
            )
        client.want(job, wish)


_NOBODY = ReplyTo(0, lambda _: None)


def watch_cores(world: World, most_events: float = float("inf")) -> Any:
    """Checks the invariants of cores after every event; returns the function that undoes this."""

    seen: dict[int, tuple[QueueCore, int]] = {}

    def watch(core: QueueCore) -> None:
        try:
            world.handled += 1
            if world.handled > most_events:
                raise TooManyEventsError
            if len(core.jobs) <= ALWAYS_CHECKED or world.handled % 4 == 0:
                check_core(core)
            check_capacity(core)
            check_no_idle_hands(core)
            _, begun = seen.setdefault(id(core), (core, virtual_clock()))
            check_orders(core, begun)
        except Exception as error:
            # A session would answer this like any bug and continue; here it ends the run.
            world.host.broken = world.host.broken or error
            raise

    class Watched(logging.LoggerAdapter[logging.Logger]):
        """A logger that ends the run when a session reports a bug of the hub."""

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


def simulate(seed: int, weights: dict[str, float] | None = None) -> World:
    """Plays one seed.

    Args:
        seed: The seed.
        weights: The weight of each fault; None for those of `FAULTS`.

    Raises:
        AssertionError: A promise was broken; the seed replays it.
    """
    return play_plan(World(draw_plan(seed, weights)))


def play_plan(world: World, most_events: float = float("inf")) -> World:
    """Plays the plan of a new world.

    Raises:
        AssertionError: A promise was broken.
        TooManyEventsError: The cores handled more events than ``most_events``.
    """
    undo = watch_cores(world, most_events)
    collecting = gc.isenabled()
    gc.disable()  # garbage collections in the middle of a run would take a tenth of its time
    try:
        run_virtual(world.run)
    finally:
        undo()
        if collecting:
            gc.enable()
    return world
