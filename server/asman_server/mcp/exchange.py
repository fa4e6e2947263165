"""Answers one call: as JSON when the answer comes soon, else as server-sent events with progress and comments."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..rest.requests import disconnected
from .in_flight import InFlight, Key
from .protocol import INTERNAL_ERROR, Call, RpcError

log = logging.getLogger("asman.hub.mcp")

PING_SECONDS: Final = 5.0
"""Longest silence of an answer, in seconds; clients and proxies take a longer one for a dead connection."""
FIRST_SECONDS: Final = 1.0
"""Time after which an answer that has not come begins as events, in seconds.

When the hub goes away, a client can tell that such an answer broke off; without a first byte, the official one always
ends with all that it does.
"""
PENDING: Final = 16
"""Largest number of notices that wait to be sent; further ones are dropped, as each replaces the one before."""
CANCELLED: Final = -32800
"""Code of the answer to a call that was cancelled, for a client that reads no events."""
EVENTS: Final = "text/event-stream"
_PING: Final = b": ping\n\n"


class Progress:
    """Tells the sender of a call how far it is, and learns that nobody reads the answer any more.

    Attributes:
        wanted: Whether the sender asked for progress.
        unread: Set when nobody reads the answer any more.
    """

    def __init__(self, call: Call) -> None:
        self.wanted = call.token is not None
        self.unread = asyncio.Event()
        self.notices: asyncio.Queue[bytes] = asyncio.Queue(PENDING)
        self._token = call.token
        self._last = 0.0

    def tell(self, progress: float, message: str) -> None:
        """Says how far the call is; ``progress`` grows from one time to the next."""
        if not self.wanted or self.notices.full() or progress <= self._last:
            return
        self._last = progress
        params = {"progressToken": self._token, "progress": progress, "message": message}
        self.notices.put_nowait(event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))


def event(message: dict[str, Any]) -> bytes:
    """Returns a message as a server-sent event."""
    return b"event: message\ndata: " + msgspec.json.encode(message) + b"\n\n"


class Exchange(Response):
    """The answer to one call.

    A client of 2026-07-28 cancels a call by closing the connection. In the older era that is no cancel: the call is
    carried out, but no longer waits for a job; `InFlight.cancel` ends it.

    Args:
        call: The call.
        work: Carries it out and returns its result.
        in_flight: The hub's calls.
        key: The key of a call that a message may cancel.
        streams: Whether the client reads events.
        headers: More headers.
    """

    def __init__(
        self,
        call: Call,
        work: Callable[[Progress], Awaitable[dict[str, Any]]],
        in_flight: InFlight,
        key: Key | None,
        *,
        streams: bool,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.media_type = None
        self.background = None
        self._call = call
        self._work = work
        self._in_flight = in_flight
        self._key = key
        self._streams = streams
        self._progress = Progress(call)
        self._started = False
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carries the call out and sends its answer."""
        doing = asyncio.ensure_future(self._answered())
        leaving = asyncio.ensure_future(disconnected(receive))
        notice: asyncio.Future[bytes] | None = None
        silence = FIRST_SECONDS
        try:
            with self._in_flight.known(self._key, doing):
                while not doing.done():
                    if notice is None and self._streams:
                        notice = asyncio.ensure_future(self._progress.notices.get())
                    watched: list[asyncio.Future[Any]] = [each for each in (doing, leaving, notice) if each is not None]
                    await asyncio.wait(watched, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
                    silence = PING_SECONDS
                    if leaving.done():
                        self._progress.unread.set()
                        if not self._call.modern:
                            await asyncio.wait([doing])
                        return
                    if notice is not None and notice.done():
                        await self._event(send, notice.result())
                        notice = None
                    elif not doing.done() and self._streams:
                        await self._event(send, _PING)
            if self._streams and notice is not None:
                await self._last_notices(send, notice)
            await self._finish(send, doing)
        finally:
            tasks = [task for task in (doing, leaving, notice) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _last_notices(self, send: Send, notice: asyncio.Future[bytes]) -> None:
        """Sends the notices that came together with the end of the call."""
        await asyncio.sleep(0)  # a notice that has come is taken in the next turn
        if notice.done():
            await self._event(send, notice.result())
        while not self._progress.notices.empty():
            await self._event(send, self._progress.notices.get_nowait())

    async def _answered(self) -> tuple[int, dict[str, Any]]:
        """Returns the status and the message that answers the call."""
        call = self._call
        try:
            result = await self._work(self._progress)
        except RpcError as error:
            return error.status(modern=call.modern), error.response(call.id)
        except Exception:
            log.exception("a call could not be answered", extra={"method": call.method})
            failed = RpcError(INTERNAL_ERROR, "an error in the hub; it was logged")
            return failed.status(modern=call.modern), failed.response(call.id)
        return 200, {"jsonrpc": "2.0", "id": call.id, "result": result}

    async def _finish(self, send: Send, doing: asyncio.Task[tuple[int, dict[str, Any]]]) -> None:
        if doing.cancelled():
            if self._streams:
                await self._event(send, b": cancelled\n\n")
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            status, message = 200, RpcError(CANCELLED, "the call was cancelled").response(self._call.id)
        else:
            status, message = doing.result()
        if self._started:
            await send({"type": "http.response.body", "body": event(message), "more_body": False})
            return
        body = msgspec.json.encode(message)
        await self._start(send, status, "application/json", len(body))
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _event(self, send: Send, piece: bytes) -> None:
        if not self._started:
            await self._start(send, 200, EVENTS)
        await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _start(self, send: Send, status: int, media: str, length: int | None = None) -> None:
        self._started = True
        self.headers["Content-Type"] = media
        if length is None:
            self.headers["Cache-Control"] = "no-cache, no-transform"
            self.headers["X-Accel-Buffering"] = "no"
        else:
            self.headers["Content-Length"] = str(length)
        await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})
