"""A worker's websocket: sends assignments; receives phases, log lines and results."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket

from asman_shared import limits
from asman_shared.codec import WORKER_FRAMES
from asman_shared.definition import Definition
from asman_shared.definition_check import check_name, check_ref
from asman_shared.encoded import Language
from asman_shared.errors import BadDefinition, BadRequest, CloseCode
from asman_shared.messages import (
    Abort,
    Acknowledged,
    Assign,
    Drain,
    Finished,
    GetBlobs,
    LogBatch,
    PhaseReport,
    Ping,
    Pong,
    PutBlobs,
    Register,
    Registered,
    Released,
    Result,
    WorkerMessage,
)

from .. import __version__
from ..access import Access, Right
from ..access.table import WORKER_MESSAGES, needs_of, open_socket
from ..core import Job
from ..core import effects as fx
from ..core import events as ev
from ..queues.shell import QueueShell
from ..services import Services
from ..storage.reader import size_of
from .session import SAY_SECONDS, SocketSession

SILENCE = 2.5
"""Heartbeats that may be missed before a worker's connection is closed; then its grace begins."""
WATCH_AGAIN = 0.1
"""Shortest interval between two checks for silence, in seconds."""

_sessions = itertools.count(1)
NEEDS: Final = needs_of(WorkerMessage, WORKER_MESSAGES)


class WorkerSession(SocketSession[WorkerMessage]):
    """One worker on one queue; arguments as for `ClientSession`."""

    def __init__(
        self,
        websocket: WebSocket,
        language: Language,
        access: Access,
        shell: QueueShell,
        services: Services,
    ) -> None:
        super().__init__(websocket, language, access, WORKER_FRAMES, NEEDS, services)
        self.session = next(_sessions)
        self._shell = shell
        self._clock = services.clock
        self._job_links = services.links
        reads = Right.READ in access.rights
        self._link_secret = self._job_links.of_queue(shell.name, whole=access.sees_definitions) if reads else ""
        self._incarnation = ""
        self._watchdog: asyncio.TimerHandle | None = None

    async def _serve(self) -> None:
        info, rest = await self.first(Register)
        open_socket(self.access, "worker")  # not before, so that the other side can read why
        self._incarnation = info.incarnation
        self._watch()
        self._shell.join(self, info)
        try:
            await self.each(rest, self._take)
        finally:
            if self._watchdog is not None:
                self._watchdog.cancel()
            self._shell.leave(self, self._incarnation)

    def _take(self, message: WorkerMessage) -> Awaitable[None] | None:
        return _TAKES[type(message)](self, message)

    def _watch(self) -> None:
        """Closes the connection when the worker is silent, because its messages are the proof of its life."""
        loop = asyncio.get_running_loop()
        allowed = SILENCE * limits.HEARTBEAT_MS / 1000
        # While reading is paused because log lines can't be stored, the worker does not count as silent.
        silent = 0.0 if self._held_back else loop.time() - self.heard
        if silent >= allowed:
            self.close_soon(CloseCode.SILENT)
            return
        self._watchdog = loop.call_later(max(allowed - silent, WATCH_AGAIN), self._watch)

    # -------------------------------------------------------------------------------------- requests of the queue

    def assign(self, job: Job, attempt: int, definition: Definition) -> None:
        """Hands an attempt to the worker."""
        self.say(
            Assign(
                job=job.id,
                attempt=attempt,
                definition=definition,
                time_limit=job.run_limit,
                log_next=job.log_next,
                phase_limits=job.phase_limits or {},
                address="" if self._link_secret else self._job_links.address(self._shell.name, job.id),
            )
        )

    def abort(self, job: str, attempt: int, why: str) -> None:
        """Stops an attempt."""
        self.say(Abort(job=job, attempt=attempt, why=why))

    def acknowledge(self, job: str, attempt: int, accepted: bool) -> None:
        """Tells the worker that it may forget a finished attempt."""
        self.say(Acknowledged(job=job, attempt=attempt, accepted=accepted))

    def resumed(self, effect: fx.Resumed) -> None:
        """Answers the registration."""
        self.say(
            Registered(
                protocol=limits.PROTOCOL_VERSION,
                hub=__version__,
                worker=self._incarnation[:8],
                time=self._clock(),
                keep=effect.keep,
                abort=effect.abort,
                log_limit=self._shell.core.policy.log_bytes,
                links=self._link_secret,
            )
        )

    def replaced(self) -> None:
        """Ends the connection, because a newer one of the same worker has taken over."""
        self.close_soon(CloseCode.REPLACED)

    def dismissed(self) -> None:
        """Ends the connection, because the queue's owner has drained the worker."""
        self.close_soon(CloseCode.DISMISSED)

    # ----------------------------------------------------------------------------------------- messages of the worker

    def _phase(self, message: PhaseReport) -> None:
        self._shell.apply(ev.PhaseReported(self._incarnation, message.job, message.attempt, message.phase))
        if message.total:
            self._shell.progress.report(self._incarnation, message)

    async def _lines(self, message: LogBatch) -> None:
        logs = self._shell.logs
        await logs.add(self._incarnation, message.job, message.attempt, message.lines)
        if logs.log_backlog.full:
            logs.flush()
            # Pings sent meanwhile show the worker that the hub is alive.
            await self._hold_back(logs.log_backlog.room, SAY_SECONDS, lambda: self.say(Ping()))
        if self.access.sender and (wait := self._limiter.came(self.access, size_of(message.lines))):
            await self._paused(wait)

    def _finished(self, message: Finished) -> None:
        if message.outcome.result.outputs:
            _leave_out_bad_names(message.outcome.result)
            _check_storable(message.outcome.result)
        self._shell.apply(ev.AttemptFinished(self._incarnation, message.job, message.attempt, message.outcome))

    def _released(self, message: Released) -> None:
        self._shell.apply(ev.AttemptReleased(self._incarnation, message.job, message.attempt))

    def _drain(self, _message: Drain) -> None:
        self._shell.apply(ev.DrainRequested(self._incarnation))


def _leave_out_bad_names(result: Result) -> None:
    """Moves the outputs whose names lead out of a folder, or can't be a file's, to those that were not kept."""
    for name in list(result.outputs):
        try:
            clean = check_name(name, field="outputs")
        except BadDefinition as error:
            clean, why = None, error.message
        else:
            why = "it is the same file as another output"
        if clean != name:
            file = result.outputs.pop(name)
            if clean is not None and clean not in result.outputs:
                result.outputs[clean] = file
            elif len(result.skipped) < limits.TAGS:
                result.skipped[name[: limits.NAME_LENGTH]] = why


def _check_storable(result: Result) -> None:
    """Checks that a result can be stored, before it reaches the group commit; output values are arbitrary JSON.

    Raises:
        BadRequest: The result has a number or a nesting that can't be stored, or a ref without bytes.
    """
    for name, file in result.outputs.items():
        check_ref(file.ref, f"outcome.result.outputs.{name[:80]}.ref")
    try:
        msgspec.msgpack.encode(result)
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
        raise BadRequest(f"this result can't be stored: {error}", field="outcome.result.outputs") from None


def _ignore(_session: WorkerSession, _message: Any) -> None:
    """Ignores a message that needs no action."""


_TAKES: Final[dict[type, Callable[[WorkerSession, Any], Awaitable[None] | None]]] = {
    PhaseReport: WorkerSession._phase,
    LogBatch: WorkerSession._lines,
    Finished: WorkerSession._finished,
    Released: WorkerSession._released,
    Drain: WorkerSession._drain,
    PutBlobs: WorkerSession.put_blobs,
    GetBlobs: WorkerSession.get_blobs,
    Ping: WorkerSession.ping,
    Pong: _ignore,
    Register: _ignore,
}
