"""The view of a queue that all its dialect sockets share: its jobs, encoded once for all of them.

The dialect sends whole lists of jobs. With many jobs and sockets these lists cost more than everything else, so

- each job's entry is kept as bytes, and the entries are joined once per change and not once per socket;
- changes are sent as subsets, at least `UPDATE_SECONDS` apart, and large subsets less often;
- whole lists are sent every `LIST_SECONDS`, and earlier when a job is no longer listed, which a subset can't express;
- a queue sends at most `LIST_BYTES_PER_SECOND` of lists.

Every entry is durable: the view follows the queue like any native client.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Protocol

from msgspec import Struct

from asman_shared.encoded import EncodedMessage
from asman_shared.errors import AsmanError
from asman_shared.messages import JobState
from asman_shared.states import Reason, State

from ..clock import Clock
from ..core import Job
from ..core.job_state import state_of
from ..queues.shell import QueueShell
from ..storage.reader import Reader
from . import outgoing
from .as_sent import Names, Submissions
from .live_logs import RUNNING, LiveLogs, has_run_lines

log = logging.getLogger("asman.hub.dialect")

LISTED_JOBS: Final = 20_000
"""Largest number of listed jobs: the running ones, the next ones, and the newest finished ones."""
FINISHED_JOBS: Final = 1000
"""Number of finished jobs on a list, besides those of the last minute. Queued jobs leave room for so many."""
FINISHED_AT_LEAST: Final = 60_000
"""Shortest time that a finished job is listed, in milliseconds."""
FINISHED_SUCCESS: Final = 600_000
"""Time that a job which ended by itself is listed, in milliseconds; other finished jobs stay listed."""
LISTED_WORKERS: Final = 1000
"""Largest number of listed workers."""
UPDATE_SECONDS: Final = 0.1
"""Shortest time between two subsets of changes, in seconds."""
LIST_SECONDS: Final = 10.0
"""Time between two whole lists, as the dialect's clients expect it, in seconds."""
LIST_SOONEST: Final = 1.0
"""Shortest time between two whole lists to all sockets, in seconds."""
LIST_BYTES_PER_SECOND: Final = 8 * 1024 * 1024
"""Bytes of lists that a queue sends per second over all sockets: large lists wait, for `LIST_SECONDS` at most."""
WORKERS_SECONDS: Final = 0.25
"""Shortest time between two lists of workers, in seconds."""
PAGE: Final = 500
"""Number of jobs read from the store together."""


class Member(Protocol):
    """A socket of the queue."""

    works: bool
    names: Names

    def listed(self) -> None:
        """Sends the whole list."""

    def changed(self, frame: bytes, jobs: Iterable[str]) -> None:
        """Sends changed jobs; ``frame`` has their new states, for clients or for workers."""

    def vanished(self, job: str) -> None:
        """Notes that a job is no longer listed."""

    def workers(self, frame: bytes) -> None:
        """Sends the changed list of workers."""

    def logs(self, job: str, step: str, lines: list[outgoing.Log], frame: bytes) -> None:
        """Sends new lines of a job."""

    def forget_cache(self, frame: bytes) -> None:
        """Sends that the result of a job was deleted."""


class Entry(Struct):
    """A listed job; ``body`` is encoded when it is first needed, and ``aliases`` are the job's other ids then."""

    state: JobState
    until: int
    body: bytes = b""
    aliases: tuple[str, ...] = ()


class QueueView:
    """The jobs of one queue as its dialect sockets see them.

    `open` it before use, and `close` it when its last member has left.

    Args:
        shell: The queue, which must be kept in use meanwhile.
        store: Reads the durable state.
        clock: Returns the current time, in milliseconds.
        submissions: Has the parts of submissions that only lists show.
    """

    def __init__(self, shell: QueueShell, store: Reader, clock: Clock, submissions: Submissions) -> None:
        self.shell = shell
        self._submissions = submissions
        self.members: dict[Member, None] = {}
        self._store = store
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._unfinished = 0
        self._gone: set[str] | None = None
        self._dirty: dict[str, None] = {}
        self._joined: dict[Names, bytes] = {}
        self._lists: dict[Names, bytes] = {}
        self._last_list = 0.0
        self._next_update = 0.0
        self._list_timer: asyncio.TimerHandle | None = None
        self._update_timer: asyncio.TimerHandle | None = None
        self._workers_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling = False
        self._logs = LiveLogs(shell, self._told_lines)

    # ------------------------------------------------------------------------------------------- opening, closing

    async def open(self) -> None:
        """Reads the queue's jobs, and follows the queue from then on.

        Raises:
            Unavailable: The database can't be read now.
        """
        self.shell.fanout.watch(self)
        try:
            await self._fill()
        except BaseException:
            self.close()
            raise
        self._last_list = asyncio.get_running_loop().time()
        self._arm_list(LIST_SECONDS)

    def close(self) -> None:
        """Stops following the queue."""
        self.shell.fanout.unwatch(self)
        for timer in (self._list_timer, self._update_timer, self._workers_timer):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._logs.close()

    def enter(self, member: Member) -> None:
        """Adds a socket, which gets every change from now on."""
        self.members[member] = None
        if not member.works:
            self._follow_logs()

    def leave(self, member: Member) -> None:
        """Removes a socket."""
        self.members.pop(member, None)
        if not any(not one.works for one in self.members):
            self._logs.close()

    @property
    def clients(self) -> int:
        """The number of sockets that are clients."""
        return sum(not member.works for member in self.members)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task of this view, which is cancelled when the view is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fill(self) -> None:
        """Reads the running, the next and the newest finished jobs; changes that arrive meanwhile are newer."""
        self._gone = set()
        self._filling = True
        try:
            ids = list(dict.fromkeys([*self._running(), *self._upcoming(LISTED_JOBS)]))
            found: list[Job] = []
            for at in range(0, len(ids), PAGE):
                found += await self._store.jobs(self.shell.name, ids[at : at + PAGE])
            before = None
            for _ in range(FINISHED_JOBS // PAGE):
                page = await self._store.page(self.shell.name, [State.FINISHED], before, PAGE)
                found += page
                if len(page) < PAGE:
                    break
                before = page[-1].number
            await self._submissions.load(self.shell.name, [job.id for job in found])
            for job in found:
                if job.id not in self._gone:
                    self._put(state_of(job))
        finally:
            self._gone = None
            self._filling = False

    def _running(self) -> Iterator[str]:
        for worker in self.shell.core.workers.values():
            yield from (lease.job for lease in worker.leases.values() if lease.live)

    def _upcoming(self, count: int) -> Iterator[str]:
        ready = self.shell.core.ready
        lines = [line.order(ready.turns) for line in ready.lines.values()]
        for _, job in islice(heapq.merge(*lines, key=lambda entry: entry[0]), count):
            if job.state is State.QUEUED:
                yield job.id

    def _refill(self) -> None:
        """Reads the next jobs once half of the jobs on a full list are done."""
        waiting = self.shell.core.ready.waiting + self.shell.core.running
        if not self._filling and self._unfinished < LISTED_JOBS // 2 < waiting and self._unfinished < waiting // 2:
            self._filling = True
            self.beside(self._fill_again())

    async def _fill_again(self) -> None:
        try:
            await self._fill()
        except AsmanError as error:
            log.info("a list can't be completed now", extra={"error": error.message})

    # --------------------------------------------------------------------------------------------- changes of the queue

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        """Takes a durable change of a job."""
        self._put(state)
        if state.state is State.RUNNING and self.clients:
            self._logs.follow(state.id)
        elif state.state.over:
            self._logs.leave(state.id)
            sentence = outgoing.sentence_of(state)
            if sentence is not None and self.clients:
                self.beside(self._tell_sentence(state.id, sentence))
        self._refill()

    def announce(self, encoded: EncodedMessage) -> None:
        """Takes a change of a worker or of the totals."""
        if self._workers_timer is None:
            self._workers_timer = asyncio.get_running_loop().call_later(WORKERS_SECONDS, self._tell_workers)

    def _put(self, state: JobState, until: int = 0) -> None:
        known = self._entries.get(state.id)
        if state.state is State.REMOVED:
            if self._gone is not None:
                self._gone.add(state.id)
            if state.id not in self.shell.core.jobs:
                self._submissions.forget(self.shell.name, state.id)
            self._drop(state.id, known)
            return
        if known is not None and known.state.rev >= state.rev:
            known.until = max(known.until, until)
            return
        if not outgoing.is_listed(state):
            self._drop(state.id, known)
            return
        if known is not None and outgoing.looks(known.state) == outgoing.looks(state):
            known.state, known.until = state, max(known.until, until)
            return
        if known is None and not state.state.over and not self._has_room(state.state):
            return
        if len(self._entries) >= 2 * LISTED_JOBS:
            self._expire()
        self._unfinished += (not state.state.over) - (known is not None and not known.state.state.over)
        self._entries[state.id] = Entry(state, max(until, _until(state)))
        self._altered()
        self._dirty[state.id] = None
        self._arm_update()

    def _has_room(self, state: State) -> bool:
        """Whether another unfinished job can be listed; a running one takes the place of a queued one if it must."""
        if state is State.QUEUED:
            return self._unfinished < listed_unfinished()
        if self._unfinished < LISTED_JOBS:
            return True
        queued = (job for job, entry in reversed(self._entries.items()) if entry.state.state is State.QUEUED)
        last = next(queued, None)
        if last is not None:
            del self._entries[last]
            self._unfinished -= 1
            self._dirty.pop(last, None)
        return last is not None

    def _drop(self, job: str, known: Entry | None) -> None:
        if known is not None:
            del self._entries[job]
            self._unfinished -= not known.state.state.over
            self._altered()
            self._dirty.pop(job, None)
            self._arm_list(self._gap())
        for member in list(self.members):
            member.vanished(job)

    def pin(self, state: JobState) -> None:
        """Lists a job for a while because a client asked about it, unless it is queued and the list is full."""
        self._put(state, self._clock() + FINISHED_SUCCESS)

    # ------------------------------------------------------------------------------------------------------------ lists

    def body(self, job: str) -> bytes | None:
        """A listed job as JSON."""
        entry = self._entries.get(job)
        if entry is None:
            return None
        if not entry.body:
            entry.body = self.encoded(entry.state)
            entry.aliases = self._submissions.of(self.shell.name, job).aliases
        return entry.body

    def aliases(self, job: str) -> tuple[str, ...]:
        """The first-generation ids under which clients see a listed job, too."""
        return self._entries[job].aliases if self.body(job) is not None else ()

    def encoded(self, state: JobState) -> bytes:
        """A state of a job as JSON."""
        sent = self._submissions.of(self.shell.name, state.id)
        return outgoing.encode(outgoing.job_of(self.shell.core, state, sent))

    def look_again(self, job: str) -> None:
        """Shows a job in another way from now on, though its state is the same."""
        entry = self._entries.get(job)
        if entry is not None:
            entry.body = b""
            self._altered()
            self._dirty[job] = None
            self._arm_update()

    def _altered(self) -> None:
        self._joined.clear()
        self._lists.clear()

    def whole(self, names: Names = Names.ALL) -> bytes:
        """The whole list as a frame, the same bytes for all until something changes, if no job has several ids."""
        if names not in self._lists:
            whole = self._lists.get(Names.ALL) or outgoing.jobs_frame(self.joined(), subset=False)
            several = names is not Names.ALL and any(entry.aliases for entry in self._entries.values())
            self._lists[Names.ALL] = whole
            self._lists[names] = outgoing.jobs_frame(self.joined(names), subset=False) if several else whole
        return self._lists[names]

    def joined(self, names: Names = Names.ALL) -> bytes:
        """The members of the whole list, for clients that add to it."""
        if names not in self._joined:
            if len(self._entries) > LISTED_JOBS:
                self._expire()
            self._joined[names] = self.members_of(self._entries, names)
        return self._joined[names]

    def whole_but(self, bodies: Mapping[str, bytes], *, waiting: bool = True) -> bytes:
        """The whole list as a frame, with some jobs replaced for one worker, and with or without those that wait."""
        others = (job for job in self._entries if job not in bodies and (waiting or not self.waits(job)))
        return outgoing.jobs_frame(_with(self.members_of(others, Names.OWN), bodies), subset=False)

    def subset(self, jobs: Iterable[str], bodies: Mapping[str, bytes] | None = None, names: Names = Names.ALL) -> bytes:
        """A frame with the current states of these jobs, some of them replaced for one worker; see `whole`."""
        shown = bodies or {}
        others = self.members_of((job for job in jobs if job not in shown), names)
        return outgoing.jobs_frame(_with(others, shown), subset=True)

    def waits(self, job: str) -> bool:
        """Whether a job is listed as waiting."""
        entry = self._entries.get(job)
        return entry is not None and entry.state.state is State.QUEUED

    def shows(self, job: str, attempt: int) -> bool:
        """Whether a job is listed as running in this attempt."""
        entry = self._entries.get(job)
        return entry is not None and entry.state.state is State.RUNNING and entry.state.attempt == attempt

    def members_of(self, jobs: Iterable[str], names: Names = Names.ALL) -> bytes:
        """These jobs as members of a JSON object, under these of their ids; unlisted jobs are left out."""
        shown = ((job, body) for job in jobs if (body := self.body(job)) is not None)
        return b",".join(
            outgoing.member(key, body) for job, body in shown for key in names.of(job, self._entries[job].aliases)
        )

    def workers_frame(self) -> bytes:
        """The workers as a frame."""
        found = outgoing.workers_of(self.shell.core, self._clock(), LISTED_WORKERS)
        return outgoing.text_frame("Workers", {"workers": found})

    # ---------------------------------------------------------------------------------------------------- in time

    def _arm_update(self) -> None:
        if self._update_timer is None and self.members:
            loop = asyncio.get_running_loop()
            wait = max(0.0, self._next_update - loop.time())
            self._update_timer = loop.call_later(wait, self._tell_changes)

    def _tell_changes(self) -> None:
        self._update_timer = None
        jobs, self._dirty = list(self._dirty), {}
        if jobs:
            frame = self.subset(jobs)
            several = any(self.aliases(job) for job in jobs)
            frames = {names: self.subset(jobs, names=names) if several else frame for names in Names}
            cost = len(frame) * len(self.members) / LIST_BYTES_PER_SECOND
            self._next_update = asyncio.get_running_loop().time() + max(UPDATE_SECONDS, min(cost, LIST_SECONDS))
            for member in list(self.members):
                member.changed(frames[member.names], jobs)

    def _gap(self) -> float:
        """Time until a whole list may be sent ahead of schedule, in seconds."""
        size = len(self._lists.get(Names.ALL, b"")) or 256 * len(self._entries)
        pause = max(LIST_SOONEST, size * len(self.members) / LIST_BYTES_PER_SECOND)
        since = asyncio.get_running_loop().time() - self._last_list
        return max(0.0, min(pause, LIST_SECONDS) - since)

    def _arm_list(self, seconds: float) -> None:
        """Schedules the next whole list after a delay, unless it is already due earlier."""
        loop = asyncio.get_running_loop()
        if self._list_timer is not None:
            if self._list_timer.when() <= loop.time() + seconds:
                return
            self._list_timer.cancel()
        self._list_timer = loop.call_later(seconds, self._tell_list)

    def _tell_list(self) -> None:
        self._list_timer = None
        self._last_list = asyncio.get_running_loop().time()
        self._arm_list(LIST_SECONDS)
        self._expire()
        for member in list(self.members):
            member.listed()

    def _expire(self) -> None:
        """Takes finished jobs off the list when their time is over or there are too many of them."""
        now = self._clock()
        finished = [(job, entry) for job, entry in self._entries.items() if entry.state.state.over]
        gone = [job for job, entry in finished if entry.until < now]
        kept = len(finished) - len(gone)
        room = max(0, LISTED_JOBS - self._unfinished)
        most = min(FINISHED_JOBS, room)
        if kept > most:
            over = set(gone)
            oldest = heapq.nsmallest(kept, (f for f in finished if f[0] not in over), key=lambda f: f[1].state.finished)
            for job, entry in oldest[: kept - most]:
                if now - entry.state.finished > FINISHED_AT_LEAST or kept > room:
                    gone.append(job)
                    kept -= 1
        for job in gone:
            del self._entries[job]
        if gone:
            self._altered()

    def _tell_workers(self) -> None:
        self._workers_timer = None
        frame = self.workers_frame()
        for member in list(self.members):
            member.workers(frame)

    # ------------------------------------------------------------------------------------------------------- others

    def _follow_logs(self) -> None:
        for job, entry in self._entries.items():
            if entry.state.state is State.RUNNING:
                self._logs.follow(job)

    def _told_lines(self, job: str, step: str, lines: list[outgoing.Log]) -> None:
        frame = outgoing.text_frame("JobStatusPayload", {"jobId": job, "step": step, "logs": lines})
        for member in list(self.members):
            member.logs(job, step, lines, frame)

    async def _tell_sentence(self, job_id: str, sentence: outgoing.Log) -> None:
        """Tells why a run failed, in the place of the log that it did not write."""
        try:
            silent = not await has_run_lines(self.shell.logs, await self.shell.job(job_id))
        except AsmanError as error:
            log.info("a log can't be read now", extra={"error": error.message})
            return
        if silent:
            self._told_lines(job_id, RUNNING, [sentence])

    def forget_cache(self, job: str, namespace: str) -> None:
        """Tells the workers that a result was deleted."""
        frame = outgoing.text_frame("ClearJobCache", {"jobId": job, "namespace": namespace})
        for member in list(self.members):
            member.forget_cache(frame)


def _with(members: bytes, bodies: Mapping[str, bytes]) -> bytes:
    return b",".join([*([members] if members else []), *(outgoing.member(job, body) for job, body in bodies.items())])


def listed_unfinished() -> int:
    """Returns the largest number of unfinished jobs on a list with queued jobs."""
    return LISTED_JOBS - min(FINISHED_JOBS, LISTED_JOBS // 20)


def _until(state: JobState) -> int:
    if state.state is not State.FINISHED:
        return 0
    by_itself = state.verdict is not None and state.verdict.reason in (Reason.SUCCESS, Reason.FAILED)
    return state.finished + FINISHED_SUCCESS if by_itself else 2**63
