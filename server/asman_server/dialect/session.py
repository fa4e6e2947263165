"""The base of both kinds of the dialect's sessions: reads text frames, sends finished frames, and detects silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from asman_shared.errors import AsmanError, BadRequest, CloseCode, Forbidden, NotFound
from asman_shared.states import State

from ..access import Access, Right
from ..access.table import ANY, Needs
from ..delivery.transport import EXTENSION, framed
from ..hub import Hub
from ..sessions.base import SocketLifecycle, opened, unopened
from .as_sent import Names
from .incoming import Unread, hear, unread
from .queue_view import QueueView
from .queue_views import QueueViews
from .send_buffer import TextSendBuffer

log = logging.getLogger("asman.hub.dialect")


class DialectSession(SocketLifecycle):
    """One connection of the dialect.

    Args:
        websocket: The websocket, which is not accepted yet.
        access: The rights that its key grants.
        view: The view of its queue.
        views: The views of all queues.
        hub: The hub.
    """

    works = False
    names = Names.ALL
    needs: Mapping[str, Needs]

    def __init__(self, websocket: WebSocket, access: Access, view: QueueView, views: QueueViews, hub: Hub) -> None:
        super().__init__(websocket, None)
        self.access = access
        self.view = view
        self.shell = view.shell
        self.views = views
        self.aliases = views.aliases
        self.hub = hub
        self._missed: dict[str, None] = {}
        self._list_due = False
        writer = websocket.scope["extensions"][EXTENSION]
        self.send_buffer: TextSendBuffer = TextSendBuffer(writer, self._too_slow, self._level)

    # ---------------------------------------------------------------------------------------------------- serving

    @property
    def logger(self) -> logging.Logger:
        """Returns the logger of the dialect."""
        return log

    async def _close_for(self, error: AsmanError) -> None:
        await self._close(CloseCode.FORBIDDEN, error.message)

    async def sees(self, job_id: str, worker: str) -> bool:
        """Returns whether the definition of a job may be shown here.

        A worker that may not read sees what it may claim and what it holds. With ``--private-ids``, an id shows nothing
        by itself, so the job must be one of this queue.

        Args:
            job_id: Id of the job.
            worker: The incarnation of this connection's worker.

        Raises:
            Unavailable: The database can't be read now.
        """
        if Right.READ not in self.access.rights:
            job = self.shell.core.jobs.get(job_id)
            return job is not None and (job.state is State.QUEUED or (not job.state.over and job.worker == worker))
        if self.hub.config.private_ids:
            try:
                await self.shell.job(job_id)
            except NotFound:
                return False
        return True

    async def each(self) -> None:
        """Handles every message until the connection ends."""
        while True:
            text = await self._text()
            if text == b"PING":
                self.send_buffer.push(framed(self.pong(), text=True))
            elif text.startswith(b"{"):
                await self.said(text)

    async def said(self, text: bytes) -> None:
        """Handles a message."""
        try:
            kind, payload = hear(text)
        except BadRequest as error:
            self.unread(unread(text), error)
            return
        try:
            self.access.need_all(self.needs.get(kind, ANY))
            await self.take(kind, payload, text)
        except Forbidden as error:
            self.refused(kind, payload, error)
        except BadRequest as error:
            log.debug("a message was skipped", extra={"error": error.message})
        except AsmanError as error:
            log.info("a message had no effect", extra={"error": error.message, "queue": self.shell.short})

    def _sign_of_life(self) -> None:
        """Answers the pings that are not read meanwhile."""
        self.send_buffer.push(framed(self.pong(), text=True))

    async def _text(self) -> bytes:
        event: dict[str, Any] = dict(await self._websocket.receive())
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        self.heard = asyncio.get_running_loop().time()
        text = event.get("text")
        return str(text).encode("utf-8", "replace") if text is not None else bytes(event.get("bytes") or b"")

    def pong(self) -> bytes:
        """Returns the answer to a ping."""
        return b"PONG"

    def refused(self, kind: str, payload: Any, error: Forbidden) -> None:
        """Handles a message that the key in the address does not allow."""
        log.info("a message was refused", extra={"error": error.message, "queue": self.shell.short})

    async def take(self, kind: str, payload: Any, text: bytes) -> None:
        """Carries out a message; ``text`` is the message as it came."""

    def unread(self, found: Unread, error: BadRequest) -> None:
        """Handles a message that can't be read; it is skipped, as the dialect expects, if it can't be answered.

        Args:
            found: The parts of it that can be read.
            error: The fault, and the member at fault.
        """
        log.debug(
            "a message was skipped", extra={"type": found.type[:80], "error": error.message, "member": error.field}
        )

    # ---------------------------------------------------------------------------------------- calls of the queue view

    def whole(self) -> bytes:
        """Returns the whole list as this connection sees it."""
        return self.view.whole(self.names)

    def subset(self, jobs: list[str], frame: bytes | None = None) -> bytes:
        """Returns some jobs as this connection sees them; ``frame`` shows them as most connections do."""
        return frame or self.view.subset(jobs, names=self.names)

    def listed(self) -> None:
        """Sends a whole list; a slow reader gets it after reading all that was sent before."""
        if self.send_buffer.congested:
            self._list_due = True
        else:
            self._list_due = False
            self._missed.clear()
            self.send_buffer.push(self.whole())

    def changed(self, frame: bytes, jobs: Any) -> None:
        """Sends changed jobs; a slow reader gets them later, in their state at that time."""
        if self.send_buffer.congested:
            self._missed.update(dict.fromkeys(jobs))
        else:
            self.send_buffer.push(self.subset(jobs, frame))

    def _level(self) -> None:
        if self._list_due:
            self.listed()
        elif self._missed:
            jobs, self._missed = list(self._missed), {}
            self.send_buffer.push(self.subset(jobs))

    def vanished(self, job: str) -> None:
        """Handles a job that is not listed any more."""
        self._missed.pop(job, None)

    def workers(self, frame: bytes) -> None:
        """Handles a change of the workers."""

    def logs(self, job: str, step: str, lines: Any, frame: bytes) -> None:
        """Handles new log lines of a job."""

    def forget_cache(self, frame: bytes) -> None:
        """Handles the deletion of a job's result."""


async def serve(websocket: WebSocket, kind: type[DialectSession]) -> None:
    """Serves a socket until it ends. Messages that arrive while the queue is loaded wait, so nothing is lost."""
    hub: Hub = websocket.app.state.hub
    views: QueueViews = websocket.app.state.views
    try:
        granted = await opened(hub, websocket)
        with hub.limiter.connection(granted.sender, granted.queue):
            async with hub.registry.using(granted.queue) as shell, views.using(shell) as view:
                await kind(websocket, granted, view, views, hub).run_on(shell)
    except AsmanError as error:
        await websocket.accept()
        await websocket.close(*unopened(error))
