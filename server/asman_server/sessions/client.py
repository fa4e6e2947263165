"""A client's websocket: requests in, answers and pushed changes out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket

from asman_shared.codec import CLIENT_FRAMES, Broken
from asman_shared.encoded import EncodedMessage, Language
from asman_shared.errors import AsmanError, CloseCode, NotFound
from asman_shared.messages import (
    Accepted,
    Cancel,
    Cancelled,
    ClientMessage,
    Configure,
    Counts,
    Delete,
    DeletedQueue,
    DeleteQueue,
    Dismiss,
    Explain,
    Follow,
    Following,
    Get,
    GetBlobs,
    Hello,
    Job,
    JobPage,
    JobState,
    Keep,
    List,
    ListRuns,
    Message,
    Ping,
    Pong,
    Purge,
    PutBlobs,
    ReadLog,
    RunList,
    Submit,
    Summarise,
    Unfollow,
    Validate,
    Welcome,
    WorkerPage,
    Workers,
)
from asman_shared.states import State

from .. import __version__
from ..access import Access, Right
from ..access.shown import shown
from ..access.table import CLIENT_MESSAGES, PARTS, Needs, needs_of, open_socket
from ..core import events as ev
from ..core.job_state import state_of
from ..logs.follow import LogFollow
from ..logs.summary import summarise_log
from ..queues.inquiry import explain_job, runs_of_job, validate
from ..queues.purge import check_purge, purge
from ..queues.shell import QueueShell
from ..queues.submission import Submission
from ..reply_to import ReplyTo
from ..services import Services
from .session import SocketSession

log = logging.getLogger("asman.hub.session")

NEEDS: Final[dict[type, Needs]] = {**needs_of(ClientMessage, CLIENT_MESSAGES), Submission: CLIENT_MESSAGES["submit"]}


Incoming = ClientMessage | Broken | Submission
_ABOUT_RUN: Final = (Accepted, Cancelled, Job)
"""Answers that tell the state of a job's run."""


class ClientSession(SocketSession[ClientMessage]):
    """One client on one queue.

    Args:
        websocket: The websocket, which is not accepted yet.
        language: The language of the connection.
        access: The rights that the client's key grants.
        shell: The queue.
        services: The hub's services.
    """

    def __init__(
        self,
        websocket: WebSocket,
        language: Language,
        access: Access,
        shell: QueueShell,
        services: Services,
    ) -> None:
        super().__init__(websocket, language, access, CLIENT_FRAMES, NEEDS, services)
        self._shell = shell
        self._clock = services.clock
        self._reader = services.log_reader
        self._default_image = services.default_image
        self._reads = Right.READ in access.rights
        links = services.links
        self._link_secret = links.of_queue(shell.name, whole=access.sees_definitions) if self._reads else ""
        self._logs: dict[str, LogFollow] = {}
        self._followed: set[str] = set()
        self._whole = False
        self._tasks: asyncio.TaskGroup

    async def _serve(self) -> None:
        hello, rest = await self.first(Hello)
        open_socket(self.access, "client")  # not before, so that the other side can read why
        if hello.follow == "queue":
            self.access.need_all(PARTS["hello.follow=queue"])
        self._welcome(hello)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                try:
                    await self.each(rest, self._take)
                finally:
                    self.send_buffer.close()
                    for follow in self._logs.values():
                        follow.stop()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._leave()

    def _take(self, message: ClientMessage) -> Awaitable[None] | None:
        return _TAKES[type(message)](self, message)

    def _welcome(self, hello: Hello) -> None:
        shell = self._shell
        missed = shell.fanout.missed(hello.resume.epoch, hello.resume.seq) if hello.resume is not None else None
        whole = self._whole = hello.follow == "queue"
        self.say(
            Welcome(
                protocol=hello.protocol,
                hub=__version__,
                epoch=shell.fanout.epoch,
                seq=shell.fanout.seq,
                time=self._clock(),
                recovered=missed is not None and whole,
                default_image=self._default_image,
                counts=shell.counts() if self._reads else Counts(),
                links=self._link_secret,
                rights=sorted(self.access.rights),
                rates=self._limiter.told(self.access),
            )
        )
        if whole:
            for encoded in missed or ():
                self.send_buffer.push(encoded)
            self.send_buffer.join(shell.fanout.broadcast)

    def _leave(self) -> None:
        for job_id in self._followed:
            self._shell.fanout.unfollow(job_id, self)

    # ------------------------------------------------------------------------------------ pushed changes

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        """Sends a change of a job that this client follows.

        The last change waits for the last log line. A client that follows the whole queue does not wait: it resumes
        by ``seq`` and needs every change in its place, so the broadcast group sends it.
        """
        follow = None
        if self._logs:
            self._run_begins(state)
            if state.state.over:
                follow = self._logs.get(state.id)
        if state.state.over:
            self._followed.discard(state.id)
        if follow is not None:
            follow.finish(state, None if self._whole else encoded)
        elif not self._whole:
            self.send_buffer.push(encoded)

    def _run_begins(self, state: JobState) -> None:
        """Sends what is held back of an earlier run of a job, before anything is told of a later one.

        A client takes what comes last for the newest.
        """
        follow = self._logs.get(state.id)
        if follow is not None and follow.ended is not None and follow.ended.queued != state.queued:
            follow.cut_short()

    def _tell(self, message: Message) -> None:
        """Answers a request about a job, after what is held back of an earlier run of it."""
        if self._logs and isinstance(message, _ABOUT_RUN):
            self._run_begins(message.job)
        self.say(message)

    def announce(self, encoded: EncodedMessage) -> None:
        """Sends the progress of a job that this client follows."""
        self.send_buffer.push(encoded)

    # ------------------------------------------------------------------------------------------------- requests

    async def ahead(self, messages: list[Incoming]) -> list[Incoming]:
        """Looks up the jobs of many submits together, when part of the queue is in the store alone.

        One by one, each submit would cost a query. A submit that can't be checked stays as it is, and is refused in
        its turn.
        """
        if self._shell.core.complete:
            return messages
        checked: list[Incoming] = []
        for message in messages:
            made: Incoming = message
            if isinstance(message, Submit):
                try:
                    made = self._shell.submission(message, self.access)
                except (AsmanError, msgspec.MsgspecError):
                    made = message
            checked.append(made)
        try:
            await self._shell.recall.ahead([made.job_id for made in checked if isinstance(made, Submission)])
        except AsmanError as error:
            log.info("jobs can't be looked up ahead", extra={"error": error.message})
        return checked

    def _submit(self, message: Submit | Submission) -> Awaitable[None] | None:
        submission = self._shell.submission(message, self.access) if isinstance(message, Submit) else message
        request = submission.request
        waiting = self._shell.submit(submission, ReplyTo(request.ref, self._tell), self)
        if request.follow:
            self._followed.add(submission.job_id)
        return waiting

    async def _cancel(self, message: Cancel) -> None:
        await self._shell.job(message.job)
        self._shell.apply(ev.CancelRequested(message.job, message.namespace, ReplyTo(message.ref, self._tell)))

    async def _delete(self, message: Delete) -> None:
        await self._shell.job(message.job)
        self._shell.apply(ev.DeleteRequested(message.job, ReplyTo(message.ref, self.say)))

    async def _get(self, message: Get) -> None:
        shell, job_id = self._shell, message.job
        job = await shell.job(job_id)
        definition = await shell.definition(job_id)
        if definition is None:
            raise NotFound(f"the definition of job {job_id[:12]}… is no longer kept")
        state, result = await shell.durable(job), None
        while state.state is State.FINISHED:
            result = await shell.result(job_id)
            present = await shell.durable(await shell.job(job_id))
            if present.version == state.version:
                break
            state, result = present, None  # it changed while the store was read, and followers were told
        part, whole = shown(definition, self.access), self.access.sees_definitions
        self._tell(Job(ref=message.ref, job=state, definition=part, result=result, partial=not whole))

    async def _list(self, message: List) -> None:
        jobs, following = await self._shell.page(message.states, message.before, message.limit)
        self.say(JobPage(ref=message.ref, jobs=jobs, next=following, counts=self._shell.counts()))

    def _list_workers(self, message: Workers) -> None:
        self.say(WorkerPage(ref=message.ref, workers=self._shell.workers()))

    async def _follow(self, message: Follow) -> None:
        job = await self._shell.job(message.job)
        older = self._logs.pop(message.job, None)
        if older is not None:
            older.stop()
        follow: LogFollow | None = None
        if message.logs:
            follow = LogFollow(self._shell, message.job, message.since, self.send_buffer, self._tasks, self._log_over)
            self._logs[message.job] = follow
            try:
                await follow.start()
            except BaseException:
                self._logs.pop(message.job, None)
                raise
        over = state_of(job) if job.state.over else None
        if over is None:
            self._shell.fanout.follow(message.job, self)
            self._followed.add(message.job)

        def answer(state: JobState) -> Following:
            # The follower gets the end that ended the following, even if the job is run again before the answer leaves.
            ended = over or (follow.ended if follow is not None else None)
            return Following(ref=message.ref, active=True, job=ended or state)

        self._shell.tell(job, ReplyTo(message.ref, self.say), answer)

    def _log_over(self, job_id: str) -> None:
        self._logs.pop(job_id, None)

    def _unfollow(self, message: Unfollow) -> None:
        self._shell.fanout.unfollow(message.job, self)
        self._followed.discard(message.job)
        follow = self._logs.pop(message.job, None)
        if follow is not None:
            follow.stop()
        self.say(Following(ref=message.ref, active=False))

    async def _read_log(self, message: ReadLog) -> None:
        args = (self._shell, message.job, message.since, message.limit, message.select, message.ref, message.run)
        self.say(await self._reader.page(*args))

    async def _list_runs(self, message: ListRuns) -> None:
        self.say(RunList(message.ref, await runs_of_job(self._shell, message.job)))

    async def _summarise(self, message: Summarise) -> None:
        self.say(await summarise_log(self._reader, self._shell, message.job, message.ref))

    async def _explain(self, message: Explain) -> None:
        self.say(await explain_job(self._shell, message.job, self._clock(), message.ref))

    async def _validate(self, message: Validate) -> None:
        self.say(await validate(self._shell, self._blobs, message.definition, message.ref))

    def _configure(self, message: Configure) -> None:
        if message.retention is None and message.paused is None:
            self.say(self._shell.configured(message.ref))
        else:
            for part in ("retention", "paused"):
                if getattr(message, part) is not None:
                    self.access.need_all(PARTS[f"configure.{part}"])
            self._shell.begin_use(self.access)
            self._shell.configure(message.retention, ReplyTo(message.ref, self.say), message.paused)

    async def _keep(self, message: Keep) -> None:
        await self._shell.job(message.job)
        self._shell.apply(ev.KeepRequested(message.job, message.keep, ReplyTo(message.ref, self._tell)))

    def _dismiss(self, message: Dismiss) -> None:
        self._shell.apply(ev.DismissRequested(message.worker, message.undo, ReplyTo(message.ref, self.say)))

    async def _purge(self, message: Purge) -> None:
        check_purge(message)
        await self.beside(message.ref, lambda: purge(self._shell, message))

    async def _delete_queue(self, message: DeleteQueue) -> None:
        await self.beside(message.ref, lambda: self._queue_deleted(message))

    async def _queue_deleted(self, message: DeleteQueue) -> DeletedQueue:
        found = await self._shell.delete(self)
        asyncio.get_running_loop().call_soon(self.close_soon, CloseCode.DELETED)  # after the answer
        return DeletedQueue(message.ref, found.jobs, found.workers)


def _ignore(_session: ClientSession, _message: Any) -> None:
    """Ignores a message that needs no action."""


_TAKES: Final[dict[type, Callable[[ClientSession, Any], Awaitable[None] | None]]] = {
    Submit: ClientSession._submit,
    Submission: ClientSession._submit,
    Cancel: ClientSession._cancel,
    Delete: ClientSession._delete,
    Get: ClientSession._get,
    List: ClientSession._list,
    Workers: ClientSession._list_workers,
    Follow: ClientSession._follow,
    Unfollow: ClientSession._unfollow,
    ReadLog: ClientSession._read_log,
    ListRuns: ClientSession._list_runs,
    Summarise: ClientSession._summarise,
    Explain: ClientSession._explain,
    Validate: ClientSession._validate,
    Configure: ClientSession._configure,
    Keep: ClientSession._keep,
    Dismiss: ClientSession._dismiss,
    Purge: ClientSession._purge,
    DeleteQueue: ClientSession._delete_queue,
    PutBlobs: ClientSession.put_blobs,
    GetBlobs: ClientSession.get_blobs,
    Ping: ClientSession.ping,
    Pong: _ignore,
    Hello: _ignore,
}
