"""One queue at work: feeds the core with events and carries its effects out.

Nothing in here decides. Requests and messages become events, effects become rows for the journal and packets for the
outboxes; what is told to clients waits for the commit, what is told to workers does not have to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from asman_shared import identity, limits
from asman_shared.definition import Definition, Shape
from asman_shared.definition_check import check
from asman_shared.errors import AsmanError, BadDefinition, BadRequest, NotFound, Unavailable, error_for
from asman_shared.messages import (
    Accepted,
    Cancelled,
    Configured,
    Counts,
    Deleted,
    Error,
    JobState,
    Message,
    Outcome,
    Register,
    Result,
    Submit,
    WorkerState,
)
from asman_shared.states import Phase, State
from asman_shared.units import format_duration

from ..clock import Clock
from ..core import Job, QueueCore, QueuePolicy
from ..core import effects as fx
from ..core import events as ev
from ..core.callbacks import Calls
from ..core.job_state import state_of, summarise
from ..delivery.fanout import Fanout, Follower
from ..meters import JobMeter
from ..names import short_name
from ..reply_to import ReplyTo
from ..storage.blob_changes import blobs_of_definition
from ..storage.commit import QueueRow
from ..storage.group_commit import GroupCommitter
from ..storage.reader import Reader, pack_definition
from ..webhooks.calls import calls_of, row_of
from .dispatch import Dispatcher, WorkerLink
from .log_backlog import LogBacklog
from .progress import ProgressNews
from .queue_logs import QueueLogs
from .recall import Recall

watch: Callable[[QueueCore], None] | None = None
"""Looks at a core after each event that it took: simulations check there what must always hold."""

RESTORED_AT_ONCE = 2000
"""Jobs that are taken up between two looks at what else there is to do."""
INSTANT_END_SHARE: Final = 0.5
"""Share of a queue's latest jobs that ended at once, above which the end of the next is waited for a moment."""
TICK = 1.0
"""Seconds between two looks at what time has done, while anything depends on time."""


class QueueShell:
    """See the module.

    Args:
        name: The queue's name, which is a secret.
        committer: Makes it durable.
        store: Reads what is durable.
        clock: Now.
        policy: What the operator tunes.
        log_backlog: Counts the log bytes of the whole hub that are not stored yet.
    """

    def __init__(
        self,
        name: str,
        committer: GroupCommitter,
        store: Reader,
        clock: Clock,
        policy: QueuePolicy,
        log_backlog: LogBacklog | None = None,
    ) -> None:
        self.name = name
        self.short = short_name(name)
        self.core = QueueCore(policy)
        self.logs = QueueLogs(name, self.core, committer, store, log_backlog)
        self.fanout = Fanout(self.counts)
        self.progress = ProgressNews(self.core, self.fanout)
        self.meter = JobMeter()
        self.links: dict[str, WorkerLink] = {}
        self.connections = 0
        self._committer = committer
        self._store = store
        self._clock = clock
        self._dispatcher = Dispatcher(self.core, store, self.links, lambda event: self.apply(event))
        self.recall = Recall(name, self.core, store, lambda event: self.apply(event))
        self._tick: asyncio.TimerHandle | None = None
        self._halted = False

    async def load(self) -> None:
        """Takes up what the store holds of this queue."""
        found = await self._store.unfinished(self.name)
        for at in range(0, max(len(found.jobs), 1), RESTORED_AT_ONCE):
            part = found.jobs[at : at + RESTORED_AT_ONCE]
            self.core.restore(
                part, self._clock(), finished=found.finished, number=found.number, retention=found.retention
            )
            await asyncio.sleep(0)
        self._arm()

    @property
    def idle(self) -> bool:
        """Nobody is connected and nothing is going on: the queue may leave memory."""
        core = self.core
        return not (self.connections or core.workers or core.running or self.logs.open_logs or self._dispatcher.busy)

    def counts(self) -> Counts:
        """The queue's totals."""
        core = self.core
        connected = sum(link is not None for link in self.links.values())
        return Counts(queued=core.ready.waiting, running=core.running, finished=core.finished, workers=connected)

    # -------------------------------------------------------------------------------------------------- events

    def apply(self, event: ev.Event) -> None:
        """Puts an event through the core and carries out what follows."""
        if self._halted:
            return
        effects = self.core.handle(event, self._clock())
        if watch is not None:
            watch(self.core)
        for effect in effects:
            _CARRY_OUT[type(effect)](self, effect)
        self._arm()

    def _arm(self) -> None:
        if self._tick is None and self.core.busy:
            self._tick = asyncio.get_running_loop().call_later(TICK, self._ticked)

    def _ticked(self) -> None:
        self._tick = None
        self.apply(ev.Tick())

    async def submit(
        self,
        request: Submit,
        reply_to: ReplyTo,
        subscriber: Follower | None = None,
        *,
        alias: str = "",
        known_id: str = "",
        shape: Shape | None = None,
    ) -> str:
        """Takes a job in and returns its id; the answer comes when it is durable.

        Args:
            request: What is wanted; its own ``ref`` does not matter.
            reply_to: Where the answer goes.
            subscriber: Who follows the job from now on, if the request says so.
            alias: Another id by which whoever submits knows the definition; it is written with the job.
            known_id: The definition's id, when it is known already: from a look ahead, or from before the names of its
                files were brought to the sha256 that they stand for.
            shape: The definition's, when it has been checked already.

        Raises:
            BadRequest: The definition or a limit is wrong.
            Unavailable: The hub can't write now.
        """
        job_id, made, calls = self._validate(request, alias, known_id, shape)
        if self.recall.needed(job_id):
            await self.recall.job(job_id)
        return self._admit(request, reply_to, subscriber, alias, job_id, made, calls)

    def submit_known(
        self, request: Submit, reply_to: ReplyTo, subscriber: Follower, known_id: str, shape: Shape | None
    ) -> str:
        """Takes a job in at once; see `submit`, which costs a coroutine for each job.

        Returns:
            The job's id, or nothing when the store must be asked first: then `submit` is to be called.

        Raises:
            BadRequest: The definition or a limit is wrong.
            Unavailable: The hub can't write now.
        """
        job_id, made, calls = self._validate(request, "", known_id, shape)
        if self.recall.needed(job_id):
            return ""
        return self._admit(request, reply_to, subscriber, "", job_id, made, calls)

    def _validate(
        self, request: Submit, alias: str, known_id: str, shape: Shape | None
    ) -> tuple[str, Shape, Calls | None]:
        """The job's id, its shape, and the webhooks that the request wants.

        Raises:
            BadRequest: Something of it is wrong.
            Unavailable: The hub can't write now.
        """
        made = shape or check(request.definition)
        job_id = known_id or identity.job_id(request.definition)
        if request.id is not None and request.id != job_id:
            raise BadDefinition(
                f"the id {request.id[:12]}… is not this definition's, which is {job_id[:12]}…", field="id"
            )
        if request.namespace == "*":
            raise BadDefinition("the namespace '*' means all of them and can't hold a job", field="namespace")
        phase_limits = request.phase_limits
        if phase_limits and Phase.ASSIGNED in phase_limits:
            raise BadRequest("the phase 'assigned' is the hub's to limit", field="phase_limits.assigned")
        calls = None
        if request.callbacks is not None:
            calls = calls_of(request.callbacks, allow_private=self.core.policy.private_webhooks, known_as=alias)
        if self._committer.failing is not None:
            raise Unavailable(f"the hub can't write to its database now ({self._committer.failing}); try again")
        return job_id, made, calls

    def _admit(
        self,
        request: Submit,
        reply_to: ReplyTo,
        subscriber: Follower | None,
        alias: str,
        job_id: str,
        shape: Shape,
        calls: Calls | None,
    ) -> str:
        self.recall.submitted(job_id)
        definition = request.definition
        phase_limits = request.phase_limits
        definition = identity.effective(definition)
        if alias:
            self._committer.alias(alias, job_id)
        known = self.core.jobs.get(job_id)
        if known is None or known.state is State.FINISHED:
            body = pack_definition(definition)
            if known is None:  # or it is stored, for as long as the job is
                self._committer.define(job_id, body, blobs_of_definition(definition))
            self._dispatcher.definitions.remember(job_id, definition, len(body))
        if subscriber is not None and request.follow:
            self.fanout.follow(job_id, subscriber)
        limits_of_run = (request.time_limit, shape.duration, phase_limits.get(Phase.RUNNING, 0))
        run_limit = min(filter(None, limits_of_run)) if any(limits_of_run) else 0
        self.apply(
            ev.Submitted(
                job=job_id,
                shape=shape,
                summary=summarise(definition, shape),
                reply_to=reply_to,
                namespace=request.namespace,
                priority=request.priority,
                reuse=request.reuse,
                run_limit=run_limit,
                queue_limit=request.queue_limit,
                phase_limits={phase: limit for phase, limit in phase_limits.items() if limit} if phase_limits else None,
                max_attempts=request.max_attempts,
                calls=calls,
            )
        )
        if self.core.jobs[job_id].state.over and subscriber is not None:
            self.fanout.unfollow(job_id, subscriber)
        return job_id

    def configure(self, retention: int, reply_to: ReplyTo) -> None:
        """Says how long the queue keeps its finished jobs; the answer comes when it is durable.

        Raises:
            BadRequest: That is too short, or longer than the hub's operator allows.
        """
        least, most = limits.SHORTEST_RETENTION_MS, self.core.policy.longest_retention
        if retention and not least <= retention <= most:
            raise BadRequest(
                f"a queue of this hub keeps its jobs for {format_duration(least)} to {format_duration(most)}",
                field="retention",
            )
        self.apply(ev.Configured(retention, reply_to))

    def configured(self, ref: int) -> Configured:
        """How long the queue keeps its finished jobs."""
        own = self.core.retention
        return Configured(ref=ref, retention=own or self.core.policy.retention, own=bool(own))

    def join(self, link: WorkerLink, info: Register, *, chooses: bool = False) -> None:
        """A worker registered, on a new connection or anew on its own; ``chooses``: it picks its jobs itself."""
        older = self.links.get(info.incarnation)
        self.links[info.incarnation] = link
        if older is not None and older is not link:
            older.replaced()
        self.apply(ev.WorkerJoined(link.session, info, chooses))
        self.fanout.totals()

    def leave(self, link: WorkerLink, incarnation: str) -> None:
        """A worker's connection ended."""
        if self.links.get(incarnation) is link:
            del self.links[incarnation]
        self.apply(ev.WorkerLost(incarnation, link.session))
        self.fanout.totals()

    # ------------------------------------------------------------------------------------------------- effects

    def _do_assign(self, effect: fx.Assign) -> None:
        self.meter.assigned(effect.job)
        self._dispatcher.assign(effect)
        if self.meter.haste > INSTANT_END_SHARE:
            self._committer.patient()

    def _do_abort(self, effect: fx.Abort) -> None:
        link = self.links.get(effect.worker.incarnation)
        if link is not None:
            link.abort(effect.job, effect.attempt, effect.why)

    def _do_changed(self, effect: fx.Changed) -> None:
        job = effect.job
        if effect.ended:
            self.meter.ended(job)
        if job.state is State.FINISHED:
            self.logs.finished(job.id)
            self._dispatcher.definitions.drop(job.id)
        self._committer.changed(self, job, first=effect.first)

    def _do_result(self, effect: fx.StoreResult) -> None:
        outcome: Outcome = effect.outcome
        result = outcome.result
        if result.outputs or result.skipped or result.phases or result.image_digest:
            result.worker = effect.job.worker_name
            self._committer.result(self.name, effect.job.id, result)

    def _do_clear(self, effect: fx.ClearRun) -> None:
        self.logs.clear(effect.job)
        self._committer.clear_log(self.name, effect.job)

    def _do_forget(self, effect: fx.Forget) -> None:
        self.logs.forget(effect.job.id)
        self.recall.forgetting(effect.job.id)
        self._committer.forget(self, effect.job)

    def _do_acknowledge(self, effect: fx.Acknowledge) -> None:
        worker, job_id, attempt, accepted = effect.worker, effect.job, effect.attempt, effect.accepted

        def say(_state: JobState | None = None) -> None:
            link = self.links.get(worker.incarnation)
            if link is not None:
                link.acknowledge(job_id, attempt, accepted)

        job = self.core.jobs.get(job_id)
        if accepted and job is not None:
            self._committer.answer(self.name, job, say, None)
        else:
            say()

    def _do_worker_changed(self, effect: fx.WorkerChanged) -> None:
        self.fanout.worker(effect.worker.wire())

    def _do_resumed(self, effect: fx.Resumed) -> None:
        link = self.links.get(effect.worker.incarnation)
        if link is not None:
            link.resumed(effect)

    def _do_submit_answer(self, effect: fx.SubmitAnswer) -> None:
        reply_to: ReplyTo = effect.reply_to
        answer, able, why = effect.answer, effect.able, effect.why
        # A cached verdict is told as it is now: the job may be run again before the answer leaves.
        cached = state_of(effect.job) if answer == "cached" else None

        def say(state: JobState) -> None:
            reply_to.say(Accepted(ref=reply_to.ref, answer=answer, job=cached or state, able=able, why=why))

        self._committer.answer(self.name, effect.job, say, _refusal(reply_to))

    def _do_cancel_answer(self, effect: fx.CancelAnswer) -> None:
        reply_to: ReplyTo = effect.reply_to
        released = effect.released

        def say(state: JobState) -> None:
            reply_to.say(Cancelled(ref=reply_to.ref, released=released, job=state))

        self._committer.answer(self.name, effect.job, say, _refusal(reply_to))

    def _do_delete_answer(self, effect: fx.DeleteAnswer) -> None:
        reply_to: ReplyTo = effect.reply_to
        answer = Deleted(ref=reply_to.ref, job=effect.job)
        self._committer.afterwards(self.name, lambda: reply_to.say(answer), _refusal(reply_to))

    def _do_settings(self, effect: fx.SaveSettings) -> None:
        reply_to: ReplyTo = effect.reply_to
        self._committer.configure(QueueRow(self.name, effect.own, self._clock(), effect.retention))
        answer = Configured(ref=reply_to.ref, retention=effect.retention, own=bool(effect.own))
        self._committer.afterwards(self.name, lambda: reply_to.say(answer), _refusal(reply_to))

    def _do_webhook(self, effect: fx.CallWebhook) -> None:
        self._committer.webhook(row_of(self.name, effect, self._clock()))

    def _do_refused(self, effect: fx.Refused) -> None:
        _refusal(effect.reply_to)(error_for(effect.code, effect.message))

    # --------------------------------------------------------------------------------------------- what is told

    def publish(self, changes: list[tuple[JobState, bool]]) -> None:
        """Tells followers what has become durable; called by the journal."""
        for state, first in changes:
            self.fanout.job(state, first=first)
            if state.state is State.REMOVED:
                self.recall.forgotten(state.id)
            if state.state.over:
                self._settle(state.id)
                self.apply(ev.Settled(state.id, state.rev))
        self.fanout.totals()

    def _settle(self, job_id: str) -> None:
        """A finished job has said all: nobody needs to be told any more."""
        job = self.core.jobs.get(job_id)
        if job is None or job.state.over:
            self.fanout.followers.pop(job_id, None)
            self.logs.close(job_id)

    def due(self, job: Job) -> int:
        """When something is to be done about a job although nothing happens; see `core.endings.Endings.due`."""
        return self.core.due(job)

    async def come_due(self, ids: list[str]) -> None:
        """The time of some jobs has come, most of which are in the store alone."""
        self.apply(ev.Due(ids, await self.recall.away(ids)))

    def workers(self) -> list[WorkerState]:
        """The workers of the queue."""
        return [worker.wire() for worker in self.core.workers.values()]

    # --------------------------------------------------------------------------------------------------- reads

    async def job(self, job_id: str) -> Job:
        """A job of this queue.

        Raises:
            NotFound: There is none.
        """
        job = await self.recall.job(job_id)
        if job is None:
            raise NotFound(f"this queue has no job {job_id[:12]}…")
        return job

    def tell(self, job: Job, reply_to: ReplyTo, message: Callable[[JobState], Message]) -> None:
        """Answers with a job's state once it is durable, in its place among the changes that are pushed."""
        self._committer.answer(self.name, job, lambda state: reply_to.say(message(state)), _refusal(reply_to))

    async def durable(self, job: Job) -> JobState:
        """The state of a job as it is now, once that is durable and may be told.

        Raises:
            Unavailable: It can't be made durable now.
        """
        told: asyncio.Future[JobState] = asyncio.get_running_loop().create_future()

        def say(state: JobState) -> None:
            if not told.done():
                told.set_result(replace(state))

        def refuse(error: AsmanError) -> None:
            if not told.done():
                told.set_exception(error)

        self._committer.answer(self.name, job, say, refuse)
        return await told

    async def result(self, job_id: str) -> Result | None:
        """The stored result of a job."""
        return await self._store.result(self.name, job_id)

    async def definition(self, job_id: str) -> Definition | None:
        """The definition of a job."""
        known = self._dispatcher.definitions.get(job_id)
        return known if known is not None else await self._store.definition(job_id)

    async def page(self, states: list[State], before: int | None, limit: int) -> tuple[list[JobState], int | None]:
        """A page of jobs, newest first, and where the next one begins."""
        found = await self._store.page(self.name, states, before, min(limit, limits.LIST_PAGE))
        following = found[-1].number if len(found) == limit else None
        return [state_of(job) for job in found], following

    def stop_timers(self) -> None:
        """Lets time pass unnoticed from now on."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self.progress.stop()
        self.recall.stop()

    def halt(self) -> None:
        """Does nothing from now on, like a hub that was killed; for simulations."""
        self.stop_timers()
        self._halted = True

    async def close(self) -> None:
        """Stops the timers; hands the last log lines to the journal."""
        self.stop_timers()
        self.logs.flush()
        await self._dispatcher.close()
        await self.recall.close()


def _refusal(reply_to: ReplyTo) -> Callable[[AsmanError], None]:
    def refuse(error: AsmanError) -> None:
        reply_to.say(Error.of(error, reply_to.ref))

    return refuse


_CARRY_OUT: Final[dict[type[fx.Effect], Callable[[QueueShell, Any], None]]] = {
    fx.Assign: QueueShell._do_assign,
    fx.Abort: QueueShell._do_abort,
    fx.Changed: QueueShell._do_changed,
    fx.StoreResult: QueueShell._do_result,
    fx.ClearRun: QueueShell._do_clear,
    fx.Forget: QueueShell._do_forget,
    fx.Acknowledge: QueueShell._do_acknowledge,
    fx.WorkerChanged: QueueShell._do_worker_changed,
    fx.Resumed: QueueShell._do_resumed,
    fx.SubmitAnswer: QueueShell._do_submit_answer,
    fx.CancelAnswer: QueueShell._do_cancel_answer,
    fx.DeleteAnswer: QueueShell._do_delete_answer,
    fx.SaveSettings: QueueShell._do_settings,
    fx.CallWebhook: QueueShell._do_webhook,
    fx.Refused: QueueShell._do_refused,
}
