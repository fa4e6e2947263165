"""A client's connection of the dialect: submissions, cancels and queries in; lists, changes and log lines out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from asman_shared.errors import AsmanError, BadDefinition, NotFound
from asman_shared.messages import Accepted, Cancelled, Error, JobState, Message
from asman_shared.states import State

from ..access import Right
from ..awaited import Awaited
from ..core import events as ev
from ..reply_to import ReplyTo
from . import outgoing
from .ids import identify
from .incoming import NAMESPACE, Query, StateChange
from .queue_view import is_listed
from .session import DialectSession
from .submitting import submit

OWN_KEYS: Final = 1000
"""Largest number of other ids of jobs that are remembered for one client; the oldest is forgotten first."""
LIST_PAUSE: Final = 1.0
"""Shortest time between two whole lists that one client requests, in seconds; earlier requests wait."""


class DialectClient(DialectSession):
    """One client on one queue. A job that the client knows by a first-generation id is shown under that id, too."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._own: dict[str, str] = {}
        self._asked: asyncio.TimerHandle | None = None
        self._asked_at = 0.0
        self._workers_due = False

    async def _serve(self) -> None:
        self.access.need(Right.READ)
        self.send_buffer.push(self.view.workers_frame())
        self.send_buffer.push(self.whole())
        self.view.enter(self)
        try:
            await self.each()
        finally:
            if self._asked is not None:
                self._asked.cancel()
            self.view.leave(self)

    async def take(self, kind: str, payload: Any) -> None:
        """Carries out a message; a message of an unknown type has no effect."""
        if kind == "StateChange":
            await self._change(payload)
        elif kind == "QueryJob":
            await self._query(payload)
        elif kind == "QueryJobStates":
            self._ask_for_list()

    # ------------------------------------------------------------------------------------------------- requests

    async def _change(self, change: StateChange) -> None:
        self.access.need(Right.SUBMIT)
        if change.state == State.QUEUED:
            await self._submit(change)
        elif change.state == State.FINISHED and change.value.reason == "Cancelled":
            await self._cancel(change)
        elif change.state == State.FINISHED and change.value.reason == "Deleted":
            await self._delete(change)

    async def _submit(self, change: StateChange) -> None:
        enqueue = change.value.enqueued
        try:
            if enqueue is None:
                raise BadDefinition("a submission must have its definition in value.enqueued", field="value.enqueued")
            found = identify(enqueue.definition, enqueue.id or change.job)

            def answered(message: Message) -> None:
                if isinstance(message, Accepted):
                    self._show(found.key, message.job)
                elif isinstance(message, Error) and not message.retry:
                    self._refuse(found.key, message.message)

            await submit(self.shell, self.hub, self.aliases, found, enqueue.control, ReplyTo(0, answered))
        except AsmanError as error:
            # A hub that can't store the job sends no answer: the client repeats the submission until the job is listed.
            if not error.retry:
                self._refuse(change.job, error.message)
            return
        self._know(found.key, found.job)

    def _know(self, key: str, job: str) -> None:
        """Shows a job under this id, too, from now on."""
        if key == job:
            return
        self._own.pop(key, None)
        self._own[key] = job
        if len(self._own) > OWN_KEYS:
            del self._own[next(iter(self._own))]

    def _show(self, key: str, state: JobState) -> None:
        """Shows a job's state to this client, and to all connections for a while."""
        self.view.pin(state)
        body = self.view.body(state.id) or outgoing.encode(outgoing.job_of(self.shell.core, state))
        members = [outgoing.member(each, body) for each in dict.fromkeys((key, state.id))]
        self.send_buffer.push(outgoing.jobs_frame(b",".join(members), subset=True))

    def _refuse(self, key: str, sentence: str) -> None:
        """Shows a submission that can't run as a job that ended with an error, to its sender alone.

        The dialect has no message for errors.
        """
        now = self.hub.clock()
        value = outgoing.FinishedValue(
            time=now,
            reason="Error",
            type="Finished",
            message=sentence,
            result=outgoing.RunResult(error=sentence, outputs={}),
        )
        job = outgoing.ListedJob(
            queued_time=now, time=now, state=State.FINISHED, worker="", finished_reason="Error", finished=value
        )
        shown = outgoing.encode({key: job})
        self.send_buffer.push(outgoing.jobs_frame(shown[1:-1], subset=True))

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
        state = await self.shell.durable(job)
        if is_listed(state):
            self._know(query.job_id, job.id)
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
        """Returns the whole list; a job that this client knows by another id is listed under both."""
        if not self._own:
            return self.view.whole()
        more = self._under_own_keys(self._own.items())
        if not more:
            return self.view.whole()
        joined = self.view.joined()
        return outgoing.jobs_frame(joined + b"," + more if joined else more, subset=False)

    def subset(self, jobs: Iterable[str], frame: bytes | None = None) -> bytes:
        """Sends some jobs; a job that this client knows by another id is sent under both."""
        wanted = set(jobs)
        more = self._under_own_keys((key, job) for key, job in self._own.items() if job in wanted)
        if not more:
            return super().subset(list(wanted), frame)
        return outgoing.jobs_frame(self.view.members_of(wanted) + b"," + more, subset=True)

    def _under_own_keys(self, own: Iterable[tuple[str, str]]) -> bytes:
        return b",".join(outgoing.member(key, body) for key, job in own if (body := self.view.body(job)) is not None)

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
        self.send_buffer.push(frame)
        for key, own in self._own.items():
            if own == job:
                self.send_buffer.push(
                    outgoing.text_frame("JobStatusPayload", {"jobId": key, "step": step, "logs": lines})
                )


def _ignore(_message: Message) -> None:
    """Ignores an answer that the dialect has no message for."""
