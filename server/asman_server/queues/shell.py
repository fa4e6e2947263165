"""Runs one queue: feeds events into its core and carries the effects out.

The shell makes no decisions. Requests and messages become events; effects become rows for the group commit and
encoded messages for the send buffers. Messages to clients wait for the commit; messages to workers need not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec.structs import replace

from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.errors import BadRequest, NotFound, QuotaExceeded, Unavailable, error_for
from asman_shared.identity import names_urls, signatures
from asman_shared.messages import (
    Accepted,
    Cancelled,
    Configured,
    Counts,
    JobState,
    Message,
    Register,
    Result,
    Submit,
    WorkerState,
)
from asman_shared.states import State
from asman_shared.units import format_duration

from ..access import Access
from ..awaited import Awaited
from ..clock import Clock
from ..core import Job, QueueCore, QueuePolicy
from ..core import effects as fx
from ..core import events as ev
from ..core.job_state import state_of
from ..core.submissions import would_begin
from ..delivery.fanout import Fanout, Follower
from ..limiting import Limiter, unlimited
from ..meters import JobMeter
from ..names import UNKEYED, ShortNames
from ..reply_to import ReplyTo
from ..storage.commit import WebhookRow
from ..storage.group_commit import GroupCommitter
from ..storage.reader import Reader, pack_definition
from ..webhooks.calls import given_up
from . import stored_effects, worker_effects
from .deletion import Deletion, Socket, refusal, refuse
from .dispatch import Dispatcher, WorkerLink
from .log_backlog import LogBacklog
from .progress import ProgressNews
from .queue_logs import QueueLogs
from .recall import Recall
from .submission import Submission

Observer = Callable[[QueueCore], None]
"""Function that is called with a core after each event."""

RESTORED_AT_ONCE = 2000
"""Number of jobs that are loaded before the event loop gets a turn."""
INSTANT_END_SHARE: Final = 0.5
"""Share of recent jobs that ended immediately, above which a commit waits briefly for the next job's end."""
KEPT_MS: Final = 60_000  # between two calls of `QueueShell.on_kept` while runs begin
TICK = 1.0
"""Time between two ticks of the core while it has anything that depends on time, in seconds."""


class QueueShell:
    """One queue: its core, logs, followers and workers' connections.

    Args:
        name: The queue's name, which is a secret.
        committer: Makes the queue's changes durable.
        store: Reads durable data.
        clock: Returns the current time.
        policy: The operator's settings.
        log_backlog: Counts the log bytes of the whole hub that are not stored yet.
        observer: Called with the core after each event; a simulation checks its invariants there.
        short_names: Names queues in logs and metrics.
        limiter: Decides what is taken from a sender; None for everything.
    """

    def __init__(
        self,
        name: str,
        committer: GroupCommitter,
        store: Reader,
        clock: Clock,
        policy: QueuePolicy,
        log_backlog: LogBacklog | None = None,
        observer: Observer | None = None,
        short_names: ShortNames = UNKEYED,
        limiter: Limiter | None = None,
    ) -> None:
        self.name = name
        self.limiter = limiter or unlimited()
        self.is_new = False  # the queue has not had a job or setting yet
        self.short = short_names(name)
        self.core = QueueCore(policy)
        self.logs = QueueLogs(name, self.core, committer, store, log_backlog)
        self.fanout = Fanout(self.counts)
        self.progress = ProgressNews(self.core, self.fanout)
        self.meter = JobMeter()
        self.links: dict[str, WorkerLink] = {}
        self.connections = 0
        self.on_kept: Callable[[str], None] | None = None  # called while runs begin, or when the queue is configured
        self._kept = 0  # when a run last did
        self.committer = committer
        self._observer = observer
        self.store = store
        self.clock = clock
        self._dispatcher = Dispatcher(self.core, store, self.links, lambda event: self.apply(event), name)
        self.recall = Recall(name, self.core, store, lambda event: self.apply(event))
        self._tick: asyncio.TimerHandle | None = None
        self._halted = False
        self.deleted = False  # by an order of its owner
        self.ended = False  # once that is durable
        self.sockets: set[Socket] = set()
        self.delete: Callable[[Socket | None], Awaitable[Deletion]]  # set by the registry
        self._given_up: dict[str, int] = {}  # by job, the run of which a state was refused

    async def load(self) -> None:
        """Loads the queue from the store."""
        found = await self.store.unfinished(self.name)
        for at in range(0, max(len(found.jobs), 1), RESTORED_AT_ONCE):
            part = found.jobs[at : at + RESTORED_AT_ONCE]
            self.core.restore(
                part,
                self.clock(),
                finished=found.finished,
                number=found.number,
                retention=found.retention,
                paused=found.paused,
            )
            await asyncio.sleep(0)
        self.is_new = not (found.jobs or found.finished or found.retention or found.paused)
        self.apply(ev.Tick())

    @property
    def idle(self) -> bool:
        """Whether the queue has no connections and no activity, so that it may leave memory."""
        core = self.core
        return not (self.connections or core.workers or core.running or self.logs.open_logs or self._dispatcher.busy)

    def counts(self) -> Counts:
        """Returns the queue's totals."""
        core = self.core
        connected = sum(link is not None for link in self.links.values())
        waiting, paused = core.ready.waiting, core.paused > 0
        return Counts(waiting, core.running, core.finished, connected, paused)

    # -------------------------------------------------------------------------------------------------- events

    def apply(self, event: ev.Event) -> None:
        """Puts an event through the core and carries out the effects."""
        if self._halted:
            return
        if self.deleted:
            refuse(self, event)
            return
        effects = self.core.handle(event, self.clock())
        if self._observer is not None:
            self._observer(self.core)
        for effect in effects:
            _CARRY_OUT[type(effect)](self, effect)
        self._arm()

    def _arm(self) -> None:
        if self._tick is None and self.core.busy:
            self._tick = asyncio.get_running_loop().call_later(TICK, self._ticked)

    def _ticked(self) -> None:
        self._tick = None
        self.apply(ev.Tick())

    def submission(self, request: Submit, access: Access, *, alias: str = "", known_id: str = "") -> Submission:
        """Checks and identifies a request under this queue's policy and the rights of a key; see `Submission.of`.

        Raises:
            Overloaded: Its sender has submitted too much for now.
        """
        self.limiter.submit(access, self.core.ready.waiting)
        self.begin_use(access)
        private = self.core.policy.private_webhooks
        return Submission.of(request, access, private_webhooks=private, alias=alias, known_id=known_id)

    def begin_use(self, access: Access) -> None:
        """Notes that the queue gets a job or setting, which may be its first.

        Raises:
            Overloaded: The sender has made too many queues for now.
        """
        if self.is_new:
            self.limiter.new_queue(access)
            self.is_new = False

    def submit(
        self, submission: Submission, reply_to: ReplyTo, subscriber: Follower | None = None
    ) -> Awaitable[None] | None:
        """Admits a job; the answer comes when the job is durable.

        Args:
            submission: The submission.
            reply_to: The receiver of the answer.
            subscriber: Follows the job from now on, if the request says so.

        Returns:
            None when the job was admitted at once. Otherwise the store must be read first: an awaitable that does so
            and then admits the job. (A coroutine for each job would cost too much.)

        Raises:
            QuotaExceeded: The hub's disk is nearly full, and the submission would begin a run.
            Unavailable: The hub can't write now.
        """
        if self.committer.failing is not None:
            raise Unavailable(f"the hub can't write to its database now ({self.committer.failing}); try again")
        if self.recall.needed(submission.job_id):
            return self._submit_recalled(submission, reply_to, subscriber)
        self._admit(submission, reply_to, subscriber)
        return None

    async def _submit_recalled(self, submission: Submission, reply_to: ReplyTo, subscriber: Follower | None) -> None:
        await self.recall.job(submission.job_id)
        self._admit(submission, reply_to, subscriber)

    def _admit(self, submission: Submission, reply_to: ReplyTo, subscriber: Follower | None) -> None:
        if self.deleted:
            raise refusal(self)
        job_id = submission.job_id
        if (full := self.committer.full()) and would_begin(self.core.jobs.get(job_id), submission.reuse):
            raise QuotaExceeded(f"{full}; no new jobs are taken meanwhile: try later, or tell the hub's operator")
        self.recall.submitted(job_id)
        definition = submission.effective()
        if submission.alias:
            self.committer.alias(submission.alias, job_id)
        if submission.note:
            self.committer.note(self.name, job_id, submission.note)
            if submission.sender is not None:
                self.limiter.came(submission.sender, len(submission.note))
        known = self.core.jobs.get(job_id)
        naming = not submission.bare and names_urls(definition)
        if known is None or known.state is State.FINISHED or naming:
            body = pack_definition(definition)
            if known is None:  # a known job's definition is stored for as long as the job is
                self.committer.define(job_id, body, submission.blobs())
                if submission.sender is not None:
                    self.limiter.came(submission.sender, len(body))
            self._dispatcher.definitions.remember(job_id, definition, len(body))
        if naming:  # the newest signatures are the ones that work
            ends = signatures(definition)
            if ends or known is not None:
                self.committer.sign(self.name, job_id, ends)
        self.apply(submission.event(definition, reply_to))
        if submission.sender is not None and self.core.jobs[job_id].state is State.QUEUED:
            self.limiter.waits(submission.sender, self.name, job_id)
        # An existing follower stays one until it has got the job's end, which may not be durable yet.
        if subscriber is not None and submission.request.follow and not self.core.jobs[job_id].state.over:
            self.fanout.follow(job_id, subscriber)

    def configure(self, retention: int | None, reply_to: ReplyTo, paused: bool | None = None) -> None:
        """Sets the queue's retention of finished jobs, in milliseconds, or pauses it; None leaves it as it is.

        The answer comes when it is durable.

        Raises:
            BadRequest: The retention is too short, or longer than the hub's operator allows.
        """
        least, most = limits.SHORTEST_RETENTION_MS, self.core.policy.longest_retention
        if retention and not least <= retention <= most:
            raise BadRequest(
                f"a queue of this hub keeps its jobs for {format_duration(least)} to {format_duration(most)}",
                field="retention",
            )
        self.apply(ev.Configured(retention, reply_to, paused))

    def configured(self, ref: int) -> Configured:
        """Returns the queue's settings."""
        own = self.core.retention
        return Configured(ref, own or self.core.policy.retention, bool(own), self.core.paused)

    def join(self, link: WorkerLink, info: Register, *, chooses: bool = False) -> None:
        """Registers a worker, on a new connection or again on its own; ``chooses``: it picks its jobs itself."""
        older = self.links.get(info.incarnation)
        self.links[info.incarnation] = link
        if older is not None and older is not link:
            older.replaced()
        self.apply(ev.WorkerJoined(link.session, info, chooses))
        self.fanout.totals()

    def leave(self, link: WorkerLink, incarnation: str) -> None:
        """Handles the end of a worker's connection."""
        if self.links.get(incarnation) is link:
            del self.links[incarnation]
        self.apply(ev.WorkerLost(incarnation, link.session))
        self.fanout.totals()

    # ------------------------------------------------------------------------------------------------- effects

    def _do_assign(self, effect: fx.Assign) -> None:
        self.meter.assigned(effect.job)
        self._dispatcher.assign(effect)
        if self.meter.haste > INSTANT_END_SHARE:
            self.committer.patient()

    def _do_changed(self, effect: fx.Changed) -> None:
        job = effect.job
        if self.limiter.waiting and job.state is not State.QUEUED:
            self.limiter.waits_no_more(self.name, job.id)
        if effect.ended:
            self.meter.ended(job)
        if job.state is State.FINISHED:
            self.logs.finished(job.id)
            self._dispatcher.definitions.drop(job.id)
        if effect.first and job.queued - self._kept >= KEPT_MS and self.on_kept is not None:
            self._kept = job.queued
            self.on_kept(self.name)
        self.committer.changed(self, job, first=effect.first, ended=effect.ended)

    def _do_forget(self, effect: fx.Forget) -> None:
        self.logs.forget(effect.job.id)
        self.recall.forgetting(effect.job.id, (effect.job.queued, effect.job.rev))
        self.committer.forget(self, effect.job)

    def _do_acknowledge(self, effect: fx.Acknowledge) -> None:
        worker, job_id, attempt, accepted = effect.worker, effect.job, effect.attempt, effect.accepted

        def say(_state: JobState | None = None) -> None:
            link = self.links.get(worker.incarnation)
            if link is not None:
                link.acknowledge(job_id, attempt, accepted)

        # A worker forgets the attempt when it hears this, so all that the hub knows of the job must be durable before.
        job = self.core.jobs.get(job_id)
        if job is not None:
            self.committer.answer(self.name, job, say, None)
        else:
            say()

    def _do_submit_answer(self, effect: fx.SubmitAnswer) -> None:
        reply_to: ReplyTo = effect.reply_to
        answer, able, why, earlier = effect.answer, effect.able, effect.why, effect.earlier
        # A cached verdict is copied now: the job may be run again before the answer leaves.
        cached = state_of(effect.job) if answer == "cached" else None

        def say(state: JobState) -> None:
            reply_to.say(Accepted(reply_to.ref, answer, cached or state, able, why, earlier))

        self.committer.answer(self.name, effect.job, say, lambda error: reply_to.refuse(error))

    def _do_cancel_answer(self, effect: fx.CancelAnswer) -> None:
        reply_to: ReplyTo = effect.reply_to

        def say(state: JobState) -> None:
            reply_to.say(Cancelled(ref=reply_to.ref, released=effect.released, job=state))

        self.committer.answer(self.name, effect.job, say, lambda error: reply_to.refuse(error))

    def _do_refused(self, effect: fx.Refused) -> None:
        reply_to: ReplyTo = effect.reply_to
        reply_to.refuse(error_for(effect.code, effect.message))

    # --------------------------------------------------------------------------------------------- changes to followers

    def publish(self, changes: list[tuple[JobState, bool]]) -> None:
        """Sends durable changes to followers; called by the group commit."""
        for state, first in changes:
            self.fanout.job(state, first=first)
            if self._given_up.get(state.id) == state.queued:  # an earlier run's removal says nothing of this one
                del self._given_up[state.id]
            if state.state is State.REMOVED:
                self.recall.forgotten(state.id, (state.queued, state.rev))
            if state.state.over:
                self._settle(state.id)
                self.apply(ev.Settled(state.id, state.queued, state.rev))
        self.fanout.totals()

    def not_stored(self, job: JobState, why: str, calls: list[WebhookRow], *, ended: bool, whole: bool) -> None:
        """Ends a job that the database refuses, or removes it when its end is refused, too; see `GroupCommitter`."""
        if self.deleted:
            return
        kept = self.core.jobs.get(job.id)
        rev = kept.rev if kept is not None else 0
        whole = whole or self._given_up.get(job.id) == job.queued
        self.apply(ev.NotStored(job.id, job.queued, job.rev, ended, why, whole))
        if kept is not None and kept.rev != rev:
            self._given_up[job.id] = job.queued
        for call in calls:
            self.committer.webhook(given_up(call) if ended else call, job.id)

    def _settle(self, job_id: str) -> None:
        """Removes the followers of a finished job, once they have got its last change."""
        job = self.core.jobs.get(job_id)
        if job is None or job.state.over:
            self.fanout.followers.pop(job_id, None)
            self.logs.close(job_id)

    def due(self, job: Job) -> int:
        """Returns the time at which a job needs attention without any event; see `QueueCore.due`."""
        return self.core.due(job)

    async def come_due(self, ids: list[str]) -> None:
        """Handles jobs that are due, most of which are in the store alone."""
        self.apply(ev.Due(ids, await self.recall.away(ids)))

    def workers(self) -> list[WorkerState]:
        """Returns the workers of the queue."""
        return [worker.wire() for worker in self.core.workers.values()]

    # --------------------------------------------------------------------------------------------------- reads

    async def job(self, job_id: str) -> Job:
        """Returns a job of this queue.

        Raises:
            NotFound: The queue has no such job.
        """
        job = await self.recall.job(job_id)
        if job is None:
            raise NotFound(f"this queue has no job {job_id[:12]}…")
        return job

    def tell(self, job: Job, reply_to: ReplyTo, message: Callable[[JobState], Message]) -> None:
        """Answers with a job's state once it is durable, in order with the changes that are pushed."""
        self.committer.answer(
            self.name, job, lambda state: reply_to.say(message(state)), lambda error: reply_to.refuse(error)
        )

    async def durable(self, job: Job) -> JobState:
        """Returns the present state of a job, once that state is durable.

        Raises:
            Unavailable: The state can't be made durable now.
        """
        if self.committer.settled(self.name, job.id):
            return state_of(job)
        told: Awaited[JobState] = Awaited()
        self.committer.answer(self.name, job, lambda state: told.say(replace(state)), told.refuse)
        return await told

    async def result(self, job_id: str) -> Result | None:
        """Returns the stored result of a job."""
        return await self.store.result(self.name, job_id)

    async def definition(self, job_id: str) -> Definition | None:
        """Returns the definition of a job."""
        definitions = self._dispatcher.definitions
        return definitions.get(job_id) or (await definitions.stored([job_id])).get(job_id)

    async def page(self, states: list[State], before: int | None, limit: int) -> tuple[list[JobState], int | None]:
        """Returns a page of jobs, newest first, and the ``before`` of the next page."""
        found = await self.store.page(self.name, states, before, min(limit, limits.LIST_PAGE))
        return [state_of(job) for job in found], found[-1].number if len(found) == limit else None

    def stop_timers(self) -> None:
        """Stops everything that depends on time."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self.progress.stop()
        self.recall.stop()

    def halt(self) -> None:
        """Stops all work at once, like a hub that was killed; for simulations."""
        self.stop_timers()
        self._halted = True

    async def close(self) -> None:
        """Stops the timers, and hands the last log lines to the group commit."""
        self.stop_timers()
        self.logs.flush()
        await self._dispatcher.close()
        await self.recall.close()


_CARRY_OUT: Final[dict[type[fx.Effect], Callable[[QueueShell, Any], None]]] = {
    fx.Assign: QueueShell._do_assign,
    fx.Abort: worker_effects.abort,
    fx.Changed: QueueShell._do_changed,
    fx.StoreResult: stored_effects.result,
    fx.BeginRun: stored_effects.begin,
    fx.Forget: QueueShell._do_forget,
    fx.Acknowledge: QueueShell._do_acknowledge,
    fx.WorkerChanged: worker_effects.changed,
    fx.Resumed: worker_effects.resumed,
    fx.SubmitAnswer: QueueShell._do_submit_answer,
    fx.CancelAnswer: QueueShell._do_cancel_answer,
    fx.DeleteAnswer: stored_effects.deleted,
    fx.SaveSettings: stored_effects.settings,
    fx.KeepAnswer: stored_effects.keeping,
    fx.PurgeAnswer: stored_effects.purged,
    fx.DismissAnswer: worker_effects.dismissing,
    fx.Dismiss: worker_effects.dismiss,
    fx.CallWebhook: stored_effects.webhook,
    fx.Refused: QueueShell._do_refused,
}
