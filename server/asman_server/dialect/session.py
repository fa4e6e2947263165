"""The base of both kinds of the dialect's sockets: text frames in, finished frames out, silence noticed."""

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
    """One socket of the dialect.

    Args:
        websocket: Not yet accepted.
        access: What its key grants.
        view: What is shown on its queue.
        views: The hub's.
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
        """The log of the dialect."""
        return log

    async def _close_for(self, error: AsmanError) -> None:
        await self._close(CloseCode.FORBIDDEN, error.message)

    async def each(self) -> None:
        """Takes every message until the connection ends. What can't be read is passed over, as is expected there."""
        while True:
            text = await self._text()
            if text == b"PING":
                self.send_buffer.push(framed(self.pong(), text=True))
            elif text.startswith(b"{"):
                try:
                    kind, payload = hear(text)
                    await self.take(kind, payload)
                except BadRequest as error:
                    log.debug("a message was passed over", extra={"error": error.message})
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
        """The answer to a ping."""
        return b"PONG"

    async def take(self, kind: str, payload: Any) -> None:
        """Does what a message asks for."""

    # ---------------------------------------------------------------------------------------- what the board tells

    def whole(self) -> bytes:
        """The whole list as this socket is shown it."""
        return self.view.whole()

    def subset(self, jobs: list[str], frame: bytes | None = None) -> bytes:
        """Some jobs as this socket is shown them; ``frame`` has them as most are."""
        return frame or self.view.subset(jobs)

    def listed(self) -> None:
        """It is time for a whole list; one who reads slowly gets it when what was sent before has been read."""
        if self.send_buffer.congested:
            self._list_due = True
        else:
            self._list_due = False
            self._missed.clear()
            self.send_buffer.push(self.whole())

    def changed(self, frame: bytes, jobs: Any) -> None:
        """These jobs have changed; one who reads slowly is told later, of what they are then."""
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
        """A job is not listed any more."""
        self._missed.pop(job, None)

    def workers(self, frame: bytes) -> None:
        """The workers are others."""

    def logs(self, job: str, step: str, lines: Any, frame: bytes) -> None:
        """A job has written lines."""

    def forget_cache(self, frame: bytes) -> None:
        """The result of a job was deleted."""
