"""A worker's socket of the dialect: it looks at the list, claims jobs, and says how they ended.

The worker is not handed jobs: its claim becomes `Claimed` in the core, and whether it got the job it learns from the
lists. What it says has no attempt in it, so it is taken to be about the attempt that the worker holds now; when it
holds none, nothing changes and it is sent a list.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.errors import AsmanError, BadRequest, CloseCode
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
"""Longest silence of a worker, in seconds, before its grace begins; it pings every 5 seconds and registers every 10."""
CONFIRM_SECONDS: Final = 30.0
"""Time in seconds in which a worker that came back must claim its jobs again; the others count as lost. It is also the
longest silence about a claimed job before the worker is made to connect again, once."""
EARLY_MESSAGES: Final = 100
"""Messages that may come before the registration; they are taken after it."""
FIRST_LIST_SECONDS: Final = 1.0
"""Time in seconds from the connection of a worker to its first list, so that its claims come first."""
LIST_PAUSE: Final = 0.25
"""Seconds between two whole lists to one worker, at least."""
DEFINITIONS: Final = 200
"""Definitions in one answer at most; more come in several."""
ASKED: Final = 5000
"""Definitions that one request may ask for; the rest of it is passed over."""
DEFINITIONS_BYTES: Final = 1024 * 1024
"""Bytes of definitions after which an answer is sent and the next one begun."""
ABORTED: Final = 1000
"""Stopped attempts of one worker that wait for the list without them, at most."""
PONG_SECONDS: Final = 4.0
"""Interval, in seconds, at which a held-back worker is told that the hub is there; it waits 10 seconds for that."""

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
        """Shows it the queue from now on.

        Not at once: a worker that comes back claims what it still has right after it has registered, and stops what a
        list does not give to it.
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
        """The answer to a ping names the worker, so that it sees whether the hub knows it."""
        return f"PONG {self._id or 'unknown'}".encode("utf-8", "replace")

    async def take(self, kind: str, payload: Any) -> None:
        """Does what a message asks for; before the registration only that is taken."""
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
            raise BadRequest("a connection is one worker's")
        info = Register(
            incarnation=outgoing.incarnation_of(said.id),
            name=said.id,
            cpus=min(max(said.cpus if said.cpus is not None else 1, 0.001), 100_000),
            agent=(said.version or "")[:200],
            gpus=min(max(said.gpus or 0, 0), 10_000),
            max_duration=_duration(said.max_job_duration),
            executor="json dialect",
        )
        if info == self._info:
            return
        first, self._id, self._info = self._info is None, said.id, info
        held = self._held()
        self._join(held)
        if first:
            self._unconfirmed = set(held)
            if held:
                self._confirming = asyncio.get_running_loop().call_later(CONFIRM_SECONDS, self._confirmed)
            self._ask_status()

    def _join(self, held: dict[str, Held]) -> None:
        """Registers with the queue, which takes everything that is not among ``held`` for lost."""
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
        if self._unconfirmed:
            held = self._held()
            lost, self._unconfirmed = self._unconfirmed, set()
            self._join({job: one for job, one in held.items() if job not in lost})

    def _prove(self) -> None:
        """Makes a worker connect again of whose claims nothing was heard since: it then claims what it really has.

        It may have stopped one by a list that was on its way when its claim was granted, and it never says so.
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

    # -------------------------------------------------------------------------------------- what the worker tells us

    def _holds(self, key: str) -> Job | None:
        """The job, if this worker has its live attempt."""
        assert self._info is not None, "registered before"  # noqa: S101
        job = self.shell.core.jobs.get(key)
        mine = job is not None and job.state is State.RUNNING and job.worker == self._info.incarnation
        if mine:
            self._unconfirmed.discard(key)
        return job if mine else None

    def _claim(self, change: StateChange) -> None:
        assert self._info is not None, "registered before"  # noqa: S101
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
        """Whether lines of this attempt's run came before its result, which then has them once more."""
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
            # Its pings are not read meanwhile, and are answered all the same.
            room = self.shell.logs.log_backlog.room
            await self._hold_back(room, PONG_SECONDS, lambda: self.send_buffer.push(framed(self.pong(), text=True)))

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

    # ------------------------------------------------------------------------------------------ what the queue says

    def assign(self, job: Job, attempt: int, definition: Definition) -> None:
        """The claim was granted: the next list says so."""

    def abort(self, job: str, attempt: int, why: str) -> None:
        """Stops an attempt: the worker is sent a list without it as soon as that is durable.

        It says nothing when it has stopped, and counts its own room, so its room here is free at once.
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
        """A result is durable, or came too late: the next list says so."""
        if not accepted:
            self._list_soon()

    def resumed(self, effect: fx.Resumed) -> None:
        """The registration was taken."""

    def replaced(self) -> None:
        """A newer connection of a worker with this id has taken over."""
        self.close_soon(CloseCode.REPLACED)

    # ---------------------------------------------------------------------------------------- what the board tells

    def vanished(self, job: str) -> None:
        """A job is not listed any more."""
        super().vanished(job)
        if self._aborted.pop(job, ...) is None:
            self._list_soon()

    def changed(self, frame: bytes, jobs: Any) -> None:
        """These jobs have changed."""
        super().changed(frame, jobs)
        if self._aborted and any(self._aborted.pop(job, ...) is None for job in list(jobs)):
            self._list_soon()

    def whole(self) -> bytes:
        """The whole list, with what this worker was given as its own although that is not durable yet.

        A worker stops what a list has not given to it for a few seconds, and the database may be slower or away.
        """
        ahead = self._ahead()
        return self.view.whole_but(ahead) if ahead else super().whole()

    def subset(self, jobs: list[str], frame: bytes | None = None) -> bytes:
        """Some jobs; see `whole`."""
        ahead = {job: body for job, body in self._ahead().items() if job in jobs}
        return self.view.subset(jobs, ahead) if ahead else super().subset(jobs, frame)

    def _ahead(self) -> dict[str, bytes]:
        """The jobs that it has and that the board does not show so, as they are."""
        core = self.shell.core
        ahead = [one for one in self._held().values() if not self.view.shows(one.job, one.attempt)]
        return {one.job: outgoing.encode(outgoing.job_of(core, state_of(core.jobs[one.job]))) for one in ahead}

    def _list_soon(self) -> None:
        """Sends a whole list, which is the only thing that makes a worker stop."""
        if self._listing is None and self in self.view.members:
            self._listing = asyncio.get_running_loop().call_later(LIST_PAUSE, self._list_now)

    def _list_now(self) -> None:
        self._listing = None
        self.listed()

    def forget_cache(self, frame: bytes) -> None:
        """The result of a job was deleted."""
        self.send_buffer.push(frame)


def _duration(text: str | int | None) -> int:
    """Milliseconds of the longest job that a worker takes; 0 for any when it can't be read."""
    if isinstance(text, int):
        return max(text, 0)
    try:
        return parse_duration(text) if text else 0
    except AsmanError:
        return 0
