"""A client's connection of the dialect: submissions, cancels and queries in; lists, changes and log lines out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from asman_shared import limits
from asman_shared.errors import AsmanError, BadDefinition, BadRequest, Forbidden, NotFound, cut
from asman_shared.messages import Accepted, Cancelled, Error, JobState, Message
from asman_shared.states import State
from asman_shared.units import KIB

from ..access.table import DIALECT_CLIENT_MESSAGES, open_socket
from ..awaited import Awaited
from ..core import events as ev
from ..reply_to import ReplyTo
from . import outgoing
from .as_sent import Names
from .ids import identify, is_of_both
from .incoming import NAMESPACE, Query, StateChange, Unread, placed
from .session import DialectSession
from .submitting import submit

OWN_KEYS: Final = 1000
"""Largest number of other ids of jobs that are remembered for one client; the oldest is forgotten first."""
OWN_UNLISTED: Final = 1000
"""Largest number of queued jobs beyond the bound of lists that one client is shown; the oldest is forgotten first."""
REFUSED: Final = 100
"""Largest number of refused submissions that stay in the lists of their sender; the oldest leaves first."""
REFUSED_BYTES: Final = 128 * KIB
"""Largest size of these submissions in a list, in bytes."""
LIST_PAUSE: Final = 1.0
"""Shortest time between two whole lists that one client requests, in seconds; earlier requests wait."""


class DialectClient(DialectSession):
    """One client on one queue. A job that the client knows by a first-generation id is shown under that id, too.

    A client that names jobs by ids of one generation alone is shown no others, where a job has such an id.
    """

    needs = DIALECT_CLIENT_MESSAGES

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._own: dict[str, str] = {}
        self._unlisted: dict[str, bytes] = {}
        self._refused: dict[str, bytes] = {}
        self._asked: asyncio.TimerHandle | None = None
        self._asked_at = 0.0
        self._workers_due = False
        self._named: set[Names] = set()

    async def _serve(self) -> None:
        open_socket(self.access, "dialect client")
        self.send_buffer.push(self.view.workers_frame())
        self.send_buffer.push(self.whole())
        self.view.enter(self)
        try:
            await self.each()
        finally:
            if self._asked is not None:
                self._asked.cancel()
            self.view.leave(self)

    async def take(self, kind: str, payload: Any, text: bytes) -> None:
        """Carries out a message; a message of an unknown type has no effect."""
        if kind == "StateChange":
            await self._change(payload)
        elif kind == "QueryJob":
            await self._query(payload)
        elif kind == "QueryJobStates":
            self._ask_for_list()

    def refused(self, kind: str, payload: Any, error: Forbidden) -> None:
        """Shows a submission that the key does not allow as a job that ended with an error."""
        super().refused(kind, payload, error)
        if isinstance(payload, StateChange) and payload.state == State.QUEUED:
            self._refuse(payload.job, error.message)

    def unread(self, found: Unread, error: BadRequest) -> None:
        """Shows a submission that can't be read as a job that ended with an error."""
        super().unread(found, error)
        if found.type == "StateChange" and found.state == State.QUEUED:
            self._refuse(found.job, placed(error))

    # ------------------------------------------------------------------------------------------------- requests

    async def _change(self, change: StateChange) -> None:
        if change.state == State.QUEUED:
            await self._submit(change)
        elif change.state == State.FINISHED and change.value.reason in ("Cancelled", "Deleted"):
            if self._refused.pop(change.job, None) is not None:
                self._ask_for_list()
            await (self._cancel if change.value.reason == "Cancelled" else self._delete)(change)

    async def _submit(self, change: StateChange) -> None:
        enqueue = change.value.enqueued
        try:
            if enqueue is None:
                raise BadDefinition("a submission must have its definition in value.enqueued", field="value.enqueued")
            found = identify(enqueue.definition, change.job or enqueue.id)
            key = found.key
            if enqueue.id not in (None, "", key, found.job):
                other = identify(enqueue.definition, enqueue.id)
                found = found if found.alias else other

            def answered(message: Message) -> None:
                if isinstance(message, Accepted):
                    self._refused.pop(key, None)
                    if message.answer == "queued":
                        self._show_queued(key, message.job)
                    self._show(key, message.job)
                elif isinstance(message, Error) and not message.retry:
                    self._refuse(key, message.message)

            if found.alias or Names.OWN not in self._named:
                surely = not found.alias and not is_of_both(enqueue.definition, found.job)
                for each in {key, found.key}:
                    self._name(each, found.job, surely=surely)
            await submit(self.shell, self.access, self.hub, self.views, found, enqueue, ReplyTo(0, answered))
        except AsmanError as error:
            # A hub that can't store the job sends no answer: the client repeats the submission until the job is listed.
            if not error.retry:
                self._refuse(change.job, error.message)
            elif error.retry_after is not None and (wait := self.hub.limiter.patience(self.access.sender)):
                await self._hold_back(partial(asyncio.sleep, wait), wait, self._sign_of_life)
            return
        self._know(found.key, found.job)

    def _name(self, key: str, job: str, *, surely: bool) -> None:
        """Notes that the client has named a job by an id, which may show the generation of all ids that it knows.

        Args:
            key: The id.
            job: The job's own id.
            surely: If ``key`` is that, whether the older rule would have given another one.
        """
        self._named.add(Names.FIRST if key != job else Names.OWN if surely else Names.ALL)
        if Names.FIRST in self._named:
            self.names = Names.FIRST if len(self._named) == 1 else Names.ALL
        elif Names.OWN in self._named:
            self.names = Names.OWN

    def _know(self, key: str, job: str) -> None:
        """Shows a job under this id, too, from now on."""
        if key == job:
            return
        self._own.pop(key, None)
        self._own[key] = job
        if len(self._own) > OWN_KEYS:
            del self._own[next(iter(self._own))]

    def _show(self, key: str, state: JobState) -> None:
        """Shows a job's state to this client, and to all connections for a while.

        A queued job for which the lists have no room is in the lists of this client alone.
        """
        self.view.pin(state)
        body = self.view.body(state.id)
        if body is None:
            body = self.view.encoded(state)
            if state.state is State.QUEUED:
                self._unlisted.pop(state.id, None)
                self._unlisted[state.id] = body
                if len(self._unlisted) > OWN_UNLISTED:
                    del self._unlisted[next(iter(self._unlisted))]
        self._show_body(key, state.id, body)

    def _show_queued(self, key: str, state: JobState) -> None:
        """Shows a job that was just submitted as queued, if a free worker has it already.

        Clients follow a job from its state Queued on. The answer to a submission comes before all else of it.
        """
        if state.state is not State.QUEUED:
            self._show_body(key, state.id, self.view.encoded(outgoing.as_queued(state)))

    def _show_body(self, key: str, job: str, body: bytes) -> None:
        keys = dict.fromkeys((key, job) if self.names is Names.ALL else (key,))
        members = [outgoing.member(each, body) for each in keys]
        self.send_buffer.push(outgoing.jobs_frame(b",".join(members), subset=True))

    def _refuse(self, key: str, sentence: str) -> None:
        """Shows a submission that can't run as a job that ended with an error, to its sender alone.

        The dialect has no message for errors. The job stays in the sender's lists, because what is absent from a list
        is gone, and its client would send it again. A key that is too long to be an id of any job is not sent back.
        """
        if len(key) > limits.LABEL_LENGTH:
            return
        sentence = cut(sentence)
        now = self.hub.clock()
        logs: list[outgoing.Log] = [(sentence + "\n", now, True)]
        value = outgoing.FinishedValue(
            time=now,
            reason="Error",
            type="Finished",
            message=sentence,
            result=outgoing.RunResult(is_timed_out=False, error=sentence, logs=logs, outputs={}),
        )
        job = outgoing.ListedJob(
            queued_time=now, time=now, state=State.FINISHED, worker="", finished_reason="Error", finished=value
        )
        shown = outgoing.encode({key: job})[1:-1]
        self.send_buffer.push(outgoing.jobs_frame(shown, subset=True))
        self._refused.pop(key, None)
        self._refused[key] = shown
        while len(self._refused) > REFUSED or sum(map(len, self._refused.values())) > REFUSED_BYTES:
            del self._refused[next(iter(self._refused))]

    async def _cancel(self, change: StateChange) -> None:
        job = await self._job(change.job)
        namespace = change.value.namespace or NAMESPACE
        done: Awaited[Message] = Awaited()
        self.shell.apply(ev.CancelRequested(job, namespace, ReplyTo(0, done.say)))
        message = await done
        if isinstance(message, Cancelled) and not message.job.state.over:
            self._show(change.job, message.job)

    async def _delete(self, change: StateChange) -> None:
        key = await self._job(change.job)
        namespace = change.value.namespace or NAMESPACE
        job = await self.shell.job(key)
        if not job.state.over:
            # There is no result to delete yet. This client does not want one, but others may.
            self.shell.apply(ev.CancelRequested(key, namespace, ReplyTo(0, _ignore)))
            return
        self.shell.apply(ev.DeleteRequested(key, ReplyTo(0, _ignore)))
        self.view.forget_cache(key, namespace)

    async def _query(self, query: Query) -> None:
        try:
            job = await self.shell.job(await self.aliases.job(query.job_id, self.shell))
        except NotFound:
            self.send_buffer.push(outgoing.jobs_frame(b"", subset=True))
            return
        if self.view.body(job.id) is None:
            await self.views.submissions.read(self.shell.name, job.id)
        state = await self.shell.durable(job)
        if outgoing.is_listed(state):
            self._name(query.job_id, job.id, surely=False)
            self._know(query.job_id, job.id)
            await self.views.known_as(self.shell.name, job.id, query.job_id, {self.shell.name: self.shell})
            self._show(query.job_id, state)
        else:
            self.send_buffer.push(outgoing.jobs_frame(b"", subset=True))

    async def _job(self, key: str) -> str:
        """Returns the job with this id, loaded into memory.

        Raises:
            NotFound: The queue has no such job.
        """
        job = await self.shell.job(await self.aliases.job(key, self.shell))
        return job.id

    def _ask_for_list(self) -> None:
        """Sends the whole list, at most once a second, because lists are large."""
        loop = asyncio.get_running_loop()
        if self._asked is None:
            wait = max(0.0, self._asked_at + LIST_PAUSE - loop.time())
            self._asked = loop.call_later(wait, self._list_asked_for)

    def _list_asked_for(self) -> None:
        self._asked = None
        self._asked_at = asyncio.get_running_loop().time()
        self.listed()

    # ------------------------------------------------------------------------------------------ calls of the queue view

    def whole(self) -> bytes:
        """Returns the whole list; a job that this client knows by another id is listed under both.

        Jobs of this client that lists have no room for, and what the hub refused of it, are listed, too.
        """
        known = set(self._own.values()) if self.names is Names.FIRST else ()
        unlisted = ((job, body) for job, body in self._unlisted.items() if job not in known)
        more = [outgoing.member(job, body) for job, body in unlisted if self.view.body(job) is None]
        more += [self._under_own_keys(self._own.items())]
        more += [body for key, body in self._refused.items() if self.view.body(key) is None and key not in self._own]
        if not any(more):
            return self.view.whole(self.names)
        return outgoing.jobs_frame(b",".join(filter(None, [self.view.joined(self.names), *more])), subset=False)

    def subset(self, jobs: Iterable[str], frame: bytes | None = None) -> bytes:
        """Sends some jobs; a job that this client knows by another id is sent under both."""
        wanted = set(jobs)
        more = self._under_own_keys((key, job) for key, job in self._own.items() if job in wanted)
        if not more:
            return super().subset(list(wanted), frame)
        return outgoing.jobs_frame(
            b",".join(filter(None, [self.view.members_of(wanted, self.names), more])), subset=True
        )

    def _under_own_keys(self, own: Iterable[tuple[str, str]]) -> bytes:
        others = ((key, job) for key, job in own if key not in self.view.aliases(job))
        shown = ((key, self.view.body(job) or self._unlisted.get(job)) for key, job in others)
        return b",".join(outgoing.member(key, body) for key, body in shown if body is not None)

    def changed(self, frame: bytes, jobs: Any) -> None:
        """Sends changed jobs, which are listed now."""
        for job in jobs if self._unlisted else ():
            self._unlisted.pop(job, None)
        super().changed(frame, jobs)

    def vanished(self, job: str) -> None:
        """Handles a job that is not listed any more; only a whole list tells its client."""
        super().vanished(job)
        if self._unlisted.pop(job, None) is not None:
            self._ask_for_list()

    def workers(self, frame: bytes) -> None:
        """Sends the changed list of workers."""
        self._workers_due = self.send_buffer.congested
        if not self._workers_due:
            self.send_buffer.push(frame)

    def _level(self) -> None:
        if self._workers_due:
            self._workers_due = False
            self.send_buffer.push(self.view.workers_frame())
        super()._level()

    def logs(self, job: str, step: str, lines: Any, frame: bytes) -> None:
        """Sends lines of a job; a slow reader fetches them later."""
        if self.send_buffer.congested:
            return
        aliases = self.view.aliases(job)
        shown = self.names.of(job, aliases)
        if job in shown:
            self.send_buffer.push(frame)
        keys = [key for key, own in self._own.items() if own == job]
        for key in dict.fromkeys((*keys, *(each for each in shown if each != job))):
            self.send_buffer.push(outgoing.text_frame("JobStatusPayload", {"jobId": key, "step": step, "logs": lines}))


def _ignore(_message: Message) -> None:
    """Ignores an answer that the dialect has no message for."""
