"""A worker's connection of the dialect: the worker reads the list, claims jobs, and reports how they ended.

The worker is not handed jobs. Its claim becomes `Claimed` in the core, and the next list shows the worker whether it
got the job. Its messages name no attempt, so they count for the attempt that the worker holds now. If it holds none,
nothing changes and the worker gets a list.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.errors import AsmanError, BadRequest, CloseCode, Unavailable
from asman_shared.messages import Held, LogLine, Message, Register
from asman_shared.states import Phase, State
from asman_shared.units import parse_duration

from ..access import Right
from ..core import Job
from ..core import effects as fx
from ..core import events as ev
from ..core.job_state import state_of
from ..delivery.transport import framed
from ..reply_to import ReplyTo
from . import outcomes, outgoing
from .incoming import Logs, Registration, StateChange, Wanted
from .live_logs import is_run_line
from .session import DialectSession

SILENCE_SECONDS: Final = 25.0
"""Longest silence of a worker before its grace begins, in seconds; it pings every 5 and registers every 10 seconds."""
CONFIRM_SECONDS: Final = 30.0
"""Time limit for a worker that came back to claim its jobs again, in seconds; unclaimed jobs count as lost. It is also
the longest silence about a claimed job before the worker is made to connect again, once."""
EARLY_MESSAGES: Final = 100
"""Largest number of messages before the registration; they are handled after it."""
FIRST_LIST_SECONDS: Final = 1.0
"""Time from the connection of a worker to its first list, in seconds, so that its claims come first."""
LIST_PAUSE: Final = 0.25
"""Shortest time between two whole lists to one worker, in seconds."""
DEFINITIONS: Final = 200
"""Largest number of definitions in one answer; more are sent in several answers."""
ASKED: Final = 5000
"""Largest number of definitions in one request; the rest are ignored."""
DEFINITIONS_BYTES: Final = 1024 * 1024
"""Size of definitions after which an answer is sent and the next one begins, in bytes."""
ABORTED: Final = 1000
"""Largest number of stopped attempts of one worker that wait for a list without them."""
PONG_SECONDS: Final = 4.0
"""Interval between signs of life to a worker whose messages are not being read, in seconds; it waits for 10 seconds."""

AGAIN_SECONDS: Final = 1.0
"""Pause before a message is handled again that the database or the blob store was needed for, in seconds."""

_sessions = itertools.count(1)


class DialectWorker(DialectSession):
    """One worker on one queue."""

    works = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.session = -next(_sessions)
        self._info: Register | None = None
        self._id = ""
        self._early: list[tuple[str, Any]] = []
        self._unconfirmed: set[str] = set()
        self._unproved: dict[str, float] = {}
        self._aborted: dict[str, None] = {}
        self._watchdog: asyncio.TimerHandle | None = None
        self._confirming: asyncio.TimerHandle | None = None
        self._proving: asyncio.TimerHandle | None = None
        self._listing: asyncio.TimerHandle | None = None

    async def _serve(self) -> None:
        self.access.need(Right.WORK)
        self._listing = asyncio.get_running_loop().call_later(FIRST_LIST_SECONDS, self._begin)
        self._watch()
        try:
            await self.each()
        finally:
            self.view.leave(self)
            for timer in (self._watchdog, self._confirming, self._proving, self._listing):
                if timer is not None:
                    timer.cancel()
            if self._info is not None:
                self.shell.leave(self, self._info.incarnation)

    def _begin(self) -> None:
        """Shows the queue to the worker from now on, after a short wait.

        A worker that comes back registers, then claims the jobs that it still has. It stops every job that a list does
        not give to it, so the claims must come before the first list.
        """
        self._listing = None
        self.view.enter(self)
        self.listed()
        self._ask_status()

    def _ask_status(self) -> None:
        if self._info is not None and self in self.view.members:
            self.send_buffer.push(outgoing.text_frame("StatusRequest", UNSET))

    def _watch(self) -> None:
        """Closes the connection when the worker is silent."""
        loop = asyncio.get_running_loop()
        heard = loop.time() if self._held_back else self.heard
        left = heard + SILENCE_SECONDS - loop.time()
        if left <= 0:
            self.close_soon(CloseCode.SILENT)
            return
        self._watchdog = loop.call_later(left + 0.01, self._watch)

    def pong(self) -> bytes:
        """Returns the answer to a ping; it names the worker, to show whether the hub knows it."""
        return f"PONG {self._id or 'unknown'}".encode("utf-8", "replace")

    async def take(self, kind: str, payload: Any) -> None:
        """Handles a message; messages before the registration wait."""
        if kind == "WorkerRegistration":
            self._register(payload)
            early, self._early = self._early, []
            for each in early:
                await self._take(*each)
        elif self._info is not None:
            await self._take(kind, payload)
        elif len(self._early) < EARLY_MESSAGES:
            self._early.append((kind, payload))

    async def _take(self, kind: str, payload: Any) -> None:
        """Handles a message; while the database or the blob store is away, the worker's later messages wait.

        The worker does not send a result or a request again, so neither may be dropped.
        """
        try:
            await self._handle(kind, payload)
        except Unavailable as error:
            self.logger.info("a worker's message waits", extra={"error": error.message, "queue": self.shell.short})
            await self._hold_back(lambda: self._handle_later(kind, payload), PONG_SECONDS, self._sign_of_life)

    async def _handle_later(self, kind: str, payload: Any) -> None:
        while self._speaks:
            await asyncio.sleep(AGAIN_SECONDS)
            with contextlib.suppress(Unavailable):
                await self._handle(kind, payload)
                return

    def _sign_of_life(self) -> None:
        """Answers the pings that are not read meanwhile."""
        self.send_buffer.push(framed(self.pong(), text=True))

    async def _handle(self, kind: str, payload: Any) -> None:
        if kind == "StateChange" and payload.state == State.RUNNING:
            self._claim(payload)
        elif kind == "StateChange" and payload.state == State.FINISHED:
            await self._finish(payload)
        elif kind == "JobStatusLogs":
            await self._log(payload)
        elif kind == "RequestJobDefinitions":
            await self._define(payload)

    # ------------------------------------------------------------------------------------------------- registering

    def _register(self, said: Registration) -> None:
        if not 0 < len(said.id) <= limits.LABEL_LENGTH:
            raise BadRequest(f"the id of a worker has 1 to {limits.LABEL_LENGTH} characters")
        if self._id not in ("", said.id):
            raise BadRequest("a connection belongs to one worker")
        info = Register(
            incarnation=outgoing.incarnation_of(said.id),
            name=said.id,
            cpus=min(max(said.cpus if said.cpus is not None else 1, 0.001), 100_000),
            agent=(said.version or "")[:200],
            gpus=min(max(said.gpus or 0, 0), 10_000),
            max_duration=_duration(said.max_job_duration),
            executor="json dialect",
        )
        first = self._info is None
        if info == self._info or not (first or self._speaks):
            return
        self._id, self._info = said.id, info
        held = self._held()
        self._join(held)
        if first:
            self._unconfirmed = set(held)
            if held:
                self._confirming = asyncio.get_running_loop().call_later(CONFIRM_SECONDS, self._confirmed)
            self._ask_status()

    @property
    def _speaks(self) -> bool:
        """Whether no newer connection has registered the same worker."""
        return self._info is not None and self.shell.links.get(self._info.incarnation) is self

    def _join(self, held: dict[str, Held]) -> None:
        """Registers with the queue, which treats every attempt that is not among ``held`` as lost."""
        assert self._info is not None, "registered before"  # noqa: S101
        self.shell.join(self, replace(self._info, holding=list(held.values())), chooses=True)

    def _held(self) -> dict[str, Held]:
        """Returns the attempts that the queue has given to this worker, which the worker claims again later."""
        worker = self.shell.core.workers.get(self._info.incarnation) if self._info is not None else None
        leases = worker.leases.values() if worker is not None else ()
        return {lease.job: Held(lease.job, lease.attempt, lease.phase) for lease in leases if lease.live}

    def _confirmed(self) -> None:
        """Treats jobs that the worker did not claim again after it came back as lost."""
        self._confirming = None
        if self._unconfirmed and self._speaks:
            held = self._held()
            lost, self._unconfirmed = self._unconfirmed, set()
            self._join({job: one for job, one in held.items() if job not in lost})

    def _prove(self) -> None:
        """Makes a worker connect again, and so claim its real jobs, if it has sent nothing about a claimed job.

        The worker may have stopped a job because of a list that was in flight when its claim was granted. It never
        reports that.
        """
        loop = asyncio.get_running_loop()
        held = self._held()
        self._unproved = {job: since for job, since in self._unproved.items() if job in held}
        oldest = min(self._unproved.values(), default=None)
        left = oldest + CONFIRM_SECONDS - loop.time() if oldest is not None else 0.0
        if oldest is not None and left <= 0 and not self._held_back:
            self._proving = None
            self.close_soon(CloseCode.RESTART)
            return
        self._proving = loop.call_later(max(left, 1.0), self._prove) if oldest is not None else None

    # -------------------------------------------------------------------------------------- messages of the worker

    def _holds(self, key: str) -> Job | None:
        """Returns the job, if this worker has its live attempt."""
        assert self._info is not None, "registered before"  # noqa: S101
        job = self.shell.core.jobs.get(key)
        mine = job is not None and job.state is State.RUNNING and job.worker == self._info.incarnation
        if mine:
            self._unconfirmed.discard(key)
        return job if mine else None

    def _claim(self, change: StateChange) -> None:
        """Claims a job.

        A claim that was still unread when the worker registered on a newer connection has no effect: the worker claims
        there what it really has. Granted here, it would give the worker a job that it may have stopped, and the
        question for it (`_prove`) would end with this connection.
        """
        assert self._info is not None, "registered before"  # noqa: S101
        if not self._speaks:
            return
        had = self._holds(change.job) is not None
        self.shell.apply(ev.Claimed(self._info.incarnation, change.job, ReplyTo(0, self._refused)))
        job = self._holds(change.job)
        if job is not None and not had:
            self._aborted.pop(job.id, None)
            loop = asyncio.get_running_loop()
            self._unproved[job.id] = loop.time()
            if self._proving is None:
                self._proving = loop.call_later(CONFIRM_SECONDS, self._prove)
            self.shell.apply(ev.PhaseReported(self._info.incarnation, job.id, job.attempt, Phase.RUNNING))

    def _refused(self, _message: Message) -> None:
        self._list_soon()

    async def _finish(self, change: StateChange) -> None:
        assert self._info is not None, "registered before"  # noqa: S101
        job = self._holds(change.job)
        if job is None:
            self._list_soon()
            return
        attempt = job.attempt
        logs = outcomes.result_logs(change.value)
        if logs and not await self._has_run_lines(job):
            await self._add(job.id, attempt, logs, Phase.RUNNING)
        outcome = await outcomes.outcome_of(change.value, job.log_next, self.hub.files.keep)
        incarnation = self._info.incarnation
        if outcome is None:
            self.shell.apply(ev.AttemptReleased(incarnation, job.id, attempt, lost=True))
        else:
            self.shell.apply(ev.AttemptFinished(incarnation, job.id, attempt, outcome))

    async def _has_run_lines(self, job: Job) -> bool:
        """Whether log lines of this attempt came before its result, which then repeats them."""
        since = job.log_start
        while True:
            lines, at_end = await self.shell.logs.read(job.id, since, limits.LOG_BATCH_LINES)
            if any(is_run_line(line) for line in lines):
                return True
            if at_end or not lines:
                return False
            since = lines[-1].seq + 1

    async def _log(self, said: Logs) -> None:
        job = self._holds(said.job_id)
        if job is None:
            return
        assert self._info is not None, "registered before"  # noqa: S101
        self._unproved.pop(job.id, None)
        attempt, phase = job.attempt, outcomes.phase_of(said.step)
        self.shell.apply(ev.PhaseReported(self._info.incarnation, job.id, attempt, phase))
        await self._add(job.id, attempt, said.logs, phase)

    async def _add(self, job: str, attempt: int, logs: list[list[Any]], phase: Phase) -> None:
        assert self._info is not None, "registered before"  # noqa: S101
        opened = await self.shell.logs.open(job)
        lines: list[LogLine] = outcomes.lines_of(logs, opened.next_seq, phase, self.hub.clock())
        if await self.shell.logs.add(self._info.incarnation, job, attempt, lines) is None:
            self.shell.logs.close(job)
        elif self.shell.logs.log_backlog.full:
            self.shell.logs.flush()
            await self._hold_back(self.shell.logs.log_backlog.room, PONG_SECONDS, self._sign_of_life)

    async def _define(self, wanted: Wanted) -> None:
        found: dict[str, Definition] = {}
        size = 0
        for key in wanted.job_ids[:ASKED]:
            definition = await self.shell.definition(await self.aliases.job(key, self.shell))
            if definition is None:
                continue
            found[key] = definition
            size += len(outgoing.encode(definition))
            if size > DEFINITIONS_BYTES or len(found) == DEFINITIONS:
                self._tell_definitions(found)
                found, size = {}, 0
        if found or not wanted.job_ids:
            self._tell_definitions(found)

    def _tell_definitions(self, found: dict[str, Definition]) -> None:
        self.send_buffer.push(outgoing.text_frame("BroadcastJobDefinitions", {"definitions": found}))

    # ------------------------------------------------------------------------------------------ calls of the queue

    def assign(self, job: Job, attempt: int, definition: Definition) -> None:
        """Notes that the claim was granted; the next list shows it."""

    def abort(self, job: str, attempt: int, why: str) -> None:
        """Stops an attempt: once the stop is durable, the worker gets a list without the attempt.

        The worker does not report that it has stopped, and it counts its own capacity. So the capacity is free here at
        once.
        """
        self._aborted[job] = None
        while len(self._aborted) > ABORTED:
            del self._aborted[next(iter(self._aborted))]
        if self._info is not None:
            released = ev.AttemptReleased(self._info.incarnation, job, attempt)
            asyncio.get_running_loop().call_soon(self._apply_late, released)

    def _apply_late(self, event: ev.AttemptReleased) -> None:
        if self.shell.links.get(event.incarnation) is self:
            self.shell.apply(event)

    def acknowledge(self, job: str, attempt: int, accepted: bool) -> None:
        """Notes that a result is durable or came too late; the next list shows it."""
        if not accepted:
            self._list_soon()

    def resumed(self, effect: fx.Resumed) -> None:
        """Notes that the queue accepted the registration."""

    def replaced(self) -> None:
        """Ends the connection, because a newer one of a worker with this id has taken over."""
        self.close_soon(CloseCode.REPLACED)

    # ---------------------------------------------------------------------------------------- calls of the queue view

    def vanished(self, job: str) -> None:
        """Handles a job that is not listed any more."""
        super().vanished(job)
        if self._aborted.pop(job, ...) is None:
            self._list_soon()

    def changed(self, frame: bytes, jobs: Any) -> None:
        """Sends changed jobs."""
        super().changed(frame, jobs)
        if self._aborted and any(self._aborted.pop(job, ...) is None for job in list(jobs)):
            self._list_soon()

    def whole(self) -> bytes:
        """Returns the whole list; it shows this worker's jobs as its own even before the assignment is durable.

        A worker stops a job that lists have not given to it for a few seconds. The database may be slower or away.
        """
        ahead = self._ahead()
        return self.view.whole_but(ahead) if ahead else super().whole()

    def subset(self, jobs: list[str], frame: bytes | None = None) -> bytes:
        """Returns some jobs; see `whole`."""
        ahead = {job: body for job, body in self._ahead().items() if job in jobs}
        return self.view.subset(jobs, ahead) if ahead else super().subset(jobs, frame)

    def _ahead(self) -> dict[str, bytes]:
        """Returns the present state of the worker's jobs that the queue view does not show as its own."""
        core = self.shell.core
        ahead = [one for one in self._held().values() if not self.view.shows(one.job, one.attempt)]
        return {one.job: outgoing.encode(outgoing.job_of(core, state_of(core.jobs[one.job]))) for one in ahead}

    def _list_soon(self) -> None:
        """Sends a whole list soon; only a list makes a worker stop a job."""
        if self._listing is None and self in self.view.members:
            self._listing = asyncio.get_running_loop().call_later(LIST_PAUSE, self._list_now)

    def _list_now(self) -> None:
        self._listing = None
        self.listed()

    def forget_cache(self, frame: bytes) -> None:
        """Handles the deletion of a job's result."""
        self.send_buffer.push(frame)


def _duration(text: str | int | None) -> int:
    """Returns the longest duration of a job that a worker takes, in milliseconds; 0 for any, or if it can't be read."""
    if isinstance(text, int):
        return max(text, 0)
    try:
        return parse_duration(text) if text else 0
    except AsmanError:
        return 0
