"""A worker's connection of the dialect: the worker reads the list, claims jobs, and reports how they ended.

The worker is not handed jobs. Its claim becomes `Claimed` in the core, and the next list shows the worker whether it
got the job. Its messages name no attempt, so they count for the attempt that the worker holds now. If it holds none,
nothing changes and the worker gets a list.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from asman_shared import limits
from asman_shared.definition import SHA256, Definition
from asman_shared.errors import BadRequest, CloseCode, Forbidden, Unavailable
from asman_shared.messages import Held, LogLine, Message, Register
from asman_shared.states import Phase, State

from ..access.table import DIALECT_WORKER_MESSAGES, open_socket
from ..core import Job
from ..core import effects as fx
from ..core import events as ev
from ..core.job_state import state_of
from ..core.worker import Presence
from ..reply_to import ReplyTo
from ..sessions.base import Closed
from ..storage.reader import size_of
from . import outcomes, outgoing
from .as_sent import Names
from .incoming import EarlyMessages, Logs, Registration, StateChange, Unread, Wanted, placed, registration_of
from .local_workers import check_contained
from .own_files import OwnFiles, Ref, Stored
from .result_logs import not_streamed
from .session import DialectSession
from .unproved import UnprovedClaims

SILENCE_SECONDS: Final = 25.0
"""Longest silence of a worker before its grace begins, in seconds; it pings every 5 and registers every 10 seconds."""
CONFIRM_SECONDS: Final = 30.0
"""Time limit for a worker that came back to claim its jobs again, in seconds; unclaimed jobs count as lost. It is also
the longest silence about a claimed job before the worker is made to connect again, once."""
REGISTER_SECONDS: Final = 20.0
"""Time limit for the registration of a worker, in seconds; workers register on open and every 10 seconds."""
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
RESULT_LINES: Final = 1_000_000
"""Largest number of lines of a result's log that are compared with the streamed ones; further ones are dropped."""
PONG_SECONDS: Final = 4.0
"""Interval between signs of life to a worker whose messages are not being read, in seconds; it waits for 10 seconds."""
PROVE_SECONDS: Final = 1.0
"""Interval between two looks at claims about whose runs nothing is proved yet, in seconds."""
AGAIN_SECONDS: Final = 1.0
"""Pause before a message is handled again that the database or the blob store was needed for, in seconds."""

_sessions = itertools.count(1)


class DialectWorker(DialectSession):
    """One worker on one queue."""

    works = True
    names = Names.OWN
    needs = DIALECT_WORKER_MESSAGES

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.session = -next(_sessions)
        # The headers of a connection are forgotten once it is accepted.
        self._host = dict(self._websocket.scope.get("headers", ())).get(b"host", b"").decode("latin-1")
        self._info: Register | None = None
        self._id = ""
        self._chooses = True
        self._early = EarlyMessages(self.views.early)
        self._unconfirmed: set[str] = set()
        self._unproved = UnprovedClaims()
        self._aborted: dict[str, None] = {}
        self._log_starts: dict[tuple[str, int], int] = {}
        self._registering: asyncio.TimerHandle | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._confirming: asyncio.TimerHandle | None = None
        self._proving: asyncio.TimerHandle | None = None
        self._listing: asyncio.TimerHandle | None = None

    async def _serve(self) -> None:
        open_socket(self.access, "dialect worker")
        loop = asyncio.get_running_loop()
        self._registering = loop.call_later(REGISTER_SECONDS, self.close_soon, CloseCode.HELLO_TIMEOUT)
        self._listing = loop.call_later(FIRST_LIST_SECONDS, self._begin)
        self._watch()
        try:
            await self.each()
        finally:
            self.view.leave(self)
            self._early.take()
            for timer in (self._registering, self._watchdog, self._confirming, self._proving, self._listing):
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

    def _ask_status(self) -> bool:
        """Asks the worker for a sign that it has read all that was sent before; returns whether that was possible."""
        if self._info is None or self not in self.view.members:
            return False
        self._unproved.sent()
        self.send_buffer.push(outgoing.text_frame("StatusRequest", UNSET))
        return True

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

    async def take(self, kind: str, payload: Any, text: bytes) -> None:
        """Handles a message; messages before the registration wait for it."""
        if kind == "WorkerRegistration":
            self._register(payload)
            for each in self._early.take():
                await self.said(each)
        elif self._info is not None:
            await self._take(kind, payload)
        else:
            try:
                self._early.add(text)
            except (BadRequest, Unavailable) as error:
                code = CloseCode.PROTOCOL if isinstance(error, BadRequest) else CloseCode.OVERLOADED
                raise Closed(code, error.message) from None

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

    async def _handle(self, kind: str, payload: Any) -> None:
        if kind == "StateChange" and payload.state == State.RUNNING:
            self._claim(payload)
        elif kind == "StateChange" and payload.state == State.FINISHED:
            await self._finish(payload)
        elif kind == "JobStatusLogs":
            await self._log(payload)
        elif kind == "RequestJobDefinitions":
            await self._define(payload)
        elif kind == "WorkerStatusResponse":
            self._unproved.answered()

    def unread(self, found: Unread, error: BadRequest) -> None:
        """Closes the connection of a worker that can't register, and ends a run whose end can't be read.

        The claims of the one would wait for nothing, and the other sends the end once only.
        """
        super().unread(found, error)
        why = placed(error)
        if found.type == "WorkerRegistration":
            raise Closed(CloseCode.PROTOCOL, why)
        ended = found.type == "StateChange" and found.state == State.FINISHED
        job = self._holds(found.job) if ended and self._info is not None else None
        if job is not None and self._info is not None:
            outcome = outcomes.unreadable(why, job.log_next)
            self.shell.apply(ev.AttemptFinished(self._info.incarnation, job.id, job.attempt, outcome))

    # ------------------------------------------------------------------------------------------------- registering

    def _register(self, said: Registration) -> None:
        info = registration_of(said)
        if info is None:
            raise Closed(CloseCode.PROTOCOL, f"the id of a worker has 1 to {limits.LABEL_LENGTH} characters")
        if self._id not in ("", said.id):
            raise Closed(CloseCode.PROTOCOL, "a connection belongs to one worker, whose id doesn't change")
        try:
            check_contained(self.hub, self.access.queue, said.executor)
        except Forbidden as error:
            raise Closed(CloseCode.FORBIDDEN, error.message) from None
        if self._registering is not None:
            self._registering.cancel()
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
        """Makes a worker connect again, and so claim its real jobs, if nothing proves that it runs a claimed job."""
        loop = asyncio.get_running_loop()
        self._proving = None
        self._unproved.keep(self._held())
        if not self._unproved:
            return
        self._unproved.ask(self._ask_status)
        if loop.time() - self._unproved.oldest() >= CONFIRM_SECONDS and not self._held_back:
            self.close_soon(CloseCode.RESTART)
            return
        self._proving = loop.call_later(PROVE_SECONDS, self._prove)

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
            self._log_begins(job)
            loop = asyncio.get_running_loop()
            self._unproved.granted(job.id, loop.time())
            if self._proving is None:
                self._proving = loop.call_later(PROVE_SECONDS, self._prove)
            self.shell.apply(ev.PhaseReported(self._info.incarnation, job.id, job.attempt, Phase.RUNNING))

    def _log_begins(self, job: Job) -> None:
        """Notes the place in a job's log after which its new attempt writes, if an earlier attempt has written."""
        live = {(one.job, one.attempt) for one in self._held().values()}
        self._log_starts = {key: seq for key, seq in self._log_starts.items() if key in live}
        if job.log_next > job.log_start:
            self._log_starts[job.id, job.attempt] = job.log_next

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
        if logs:  # the result repeats what was streamed
            since = self._log_starts.get((job.id, attempt), job.log_start)
            lines: list[LogLine] = []
            for part in outcomes.lines_of(logs, Phase.RUNNING, self.hub.clock()):
                lines += part[: RESULT_LINES - len(lines)]
                await asyncio.sleep(0)
            missing = await not_streamed(self.shell.logs, job.id, since, lines)
            cuts = range(0, len(missing), outcomes.SLICE_STEPS)
            await self._add(job.id, attempt, (missing[at : at + outcomes.SLICE_STEPS] for at in cuts))
        outcome = await outcomes.outcome_of(change.value, job.log_next, self.hub.files.keep, self._own_files)
        incarnation = self._info.incarnation
        if outcome is None:
            self.shell.apply(ev.AttemptReleased(incarnation, job.id, attempt, lost=True))
        else:
            self.shell.apply(ev.AttemptFinished(incarnation, job.id, attempt, outcome))

    async def _own_files(self, refs: Collection[Ref]) -> Mapping[Ref, Stored]:
        """Finds the hub's files in refs; the worker writes the hub's address as it knows it."""
        return await OwnFiles(self.hub, self._host).find(refs)

    async def _log(self, said: Logs) -> None:
        job = self._holds(said.job_id)
        if job is None:
            return
        assert self._info is not None, "registered before"  # noqa: S101
        self._unproved.heard(job.id)
        attempt, phase = job.attempt, outcomes.phase_of(said.step)
        self.shell.apply(ev.PhaseReported(self._info.incarnation, job.id, attempt, phase))
        await self._add(job.id, attempt, outcomes.lines_of(said.logs or [], phase, self.hub.clock()))

    async def _add(self, job: str, attempt: int, slices: Iterable[list[LogLine]]) -> None:
        """Stores a log slice by slice; the worker's later messages wait, and other connections are served meanwhile."""
        loop = asyncio.get_running_loop()
        told = loop.time()
        for lines in slices:
            if lines and not await self._add_slice(job, attempt, lines):
                return
            await asyncio.sleep(0)
            if loop.time() - told >= PONG_SECONDS:
                self._sign_of_life()
                self.heard = told = loop.time()

    async def _add_slice(self, job: str, attempt: int, lines: list[LogLine]) -> bool:
        """Stores lines; returns whether the attempt is still the worker's."""
        assert self._info is not None, "registered before"  # noqa: S101
        opened = await self.shell.logs.open(job)
        outcomes.number(lines, opened.next_seq)
        if await self.shell.logs.add(self._info.incarnation, job, attempt, lines) is None:
            self.shell.logs.close(job)
            return False
        if self.shell.logs.log_backlog.full:
            self.shell.logs.flush()
            await self._hold_back(self.shell.logs.log_backlog.room, PONG_SECONDS, self._sign_of_life)
        if self.access.sender and (wait := self.hub.limiter.came(self.access, size_of(lines))):
            await self._hold_back(partial(asyncio.sleep, wait), PONG_SECONDS, self._sign_of_life)
        return True

    async def _define(self, wanted: Wanted) -> None:
        found: dict[str, Definition] = {}
        size, worker = 0, self._info.incarnation if self._info is not None else ""
        for key in (wanted.job_ids or [])[:ASKED]:
            if not isinstance(key, str) or SHA256.fullmatch(key) is None:
                continue
            job_id = await self.aliases.job(key, self.shell)
            definition = await self.shell.definition(job_id) if await self.sees(job_id, worker) else None
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

    def dismissed(self) -> None:
        """Ignores that the worker has nothing left: it would come back as another one, and take jobs."""

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

        A worker stops a job that lists have not given to it for a few seconds. The database may be slower or away. One
        that gets no jobs now sees none that waits: it would claim them again and again.
        """
        ahead, self._chooses = self._ahead(), self._may_claim
        return self.view.whole_but(ahead, waiting=self._chooses) if ahead or not self._chooses else super().whole()

    def subset(self, jobs: list[str], frame: bytes | None = None) -> bytes:
        """Returns some jobs; see `whole`."""
        ahead = {job: body for job, body in self._ahead().items() if job in jobs}
        if not self._may_claim:
            return self.view.subset([job for job in jobs if not self.view.waits(job)], ahead, self.names)
        return self.view.subset(jobs, ahead, self.names) if ahead else super().subset(jobs, frame)

    @property
    def _may_claim(self) -> bool:
        """Whether a claim of this worker for a job that waits could be granted, now or when it has room."""
        worker = self.shell.core.workers.get(self._info.incarnation) if self._info is not None else None
        return not self.shell.core.paused and (worker is None or worker.presence is Presence.READY)

    def workers(self, frame: bytes) -> None:
        """Sends a list soon if this worker may choose again, or no longer."""
        if self._may_claim != self._chooses:
            self._list_soon()

    def _ahead(self) -> dict[str, bytes]:
        """Returns the present state of the worker's jobs that the queue view does not show as its own."""
        core = self.shell.core
        ahead = [one for one in self._held().values() if not self.view.shows(one.job, one.attempt)]
        return {one.job: self.view.encoded(state_of(core.jobs[one.job])) for one in ahead}

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
