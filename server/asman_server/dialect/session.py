"""The base of both kinds of the dialect's sessions: reads text frames, sends finished frames, and detects silence."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from asman_shared.errors import AsmanError, BadRequest, CloseCode

from ..access import Access
from ..delivery.transport import EXTENSION, framed
from ..hub import Hub
from ..sessions.base import SocketLifecycle
from .incoming import hear
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

    def __init__(self, websocket: WebSocket, access: Access, view: QueueView, views: QueueViews, hub: Hub) -> None:
        super().__init__(websocket, None)
        self.access = access
        self.view = view
        self.shell = view.shell
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

    async def each(self) -> None:
        """Handles every message until the connection ends. Unreadable messages are skipped, as the dialect expects."""
        while True:
            text = await self._text()
            if text == b"PING":
                self.send_buffer.push(framed(self.pong(), text=True))
            elif text.startswith(b"{"):
                try:
                    kind, payload = hear(text)
                    await self.take(kind, payload)
                except BadRequest as error:
                    log.debug("a message was skipped", extra={"error": error.message})
                except AsmanError as error:
                    log.info("a message had no effect", extra={"error": error.message, "queue": self.shell.short})

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

    async def take(self, kind: str, payload: Any) -> None:
        """Handles a message."""

    # ---------------------------------------------------------------------------------------- calls of the queue view

    def whole(self) -> bytes:
        """Returns the whole list as this connection sees it."""
        return self.view.whole()

    def subset(self, jobs: list[str], frame: bytes | None = None) -> bytes:
        """Returns some jobs as this connection sees them; ``frame`` shows them as most connections do."""
        return frame or self.view.subset(jobs)

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
