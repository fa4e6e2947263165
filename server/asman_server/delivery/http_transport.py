"""Takes requests over HTTP: bounds their heads, shares the event loop with websockets, and answers polls at once.

uvicorn's HTTP protocol is unchanged but for four things. A request whose head is too large, or does not arrive within
`HEAD_SECONDS`, is refused. A sender has a limited number of connections without a request (`IdleConnections`). A turn
of the event loop begins a limited number of requests (`turns`). And a request whose answer is at hand (`prompts`) gets
it without a task, a route or a response object, with the same bytes as from there.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from asman_shared import limits

from ..limiting.idle import NOBODY, IdleConnections, Parties
from .prompts import Prompts
from .turns import Turns

HEAD_SECONDS: Final = 20.0
"""Time in which the request line and headers must arrive, in seconds."""
HEAD_BYTES: Final = limits.HEADER_LENGTH
"""Largest size of the request line and headers, in bytes."""
_MORE: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
"""Headers of requests that have more to them than their address."""


class HubHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits for the head of a request, in bytes and in seconds; see `http_protocol`.

    Attributes:
        prompts: Answers requests at once.
        turns: Counts the requests that begin in one turn of the event loop.
        idle: Counts the connections of senders on which no request is being answered.
    """

    prompts: Prompts
    turns: Turns
    idle: IdleConnections
    _parties: Parties = NOBODY
    """The parties that this connection counts for while it is idle."""
    _deadline: asyncio.TimerHandle | None = None
    _head = 0
    """Bytes of the head that have arrived."""
    _in_head = True
    """Whether a head is still to arrive, or is arriving."""
    _at_once = False
    """Whether the present request was answered when its head was complete."""
    _always: tuple[list[tuple[bytes, bytes]] | None, bytes] = None, b""
    """The headers of every answer, and their lines."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the deadline for the head of the first request."""
        super().connection_made(transport)
        self._await_head()
        self._parties = self.idle.parties(self.client[0] if self.client else "")
        self.idle.add(self, self._parties)

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._refuse, b"408 Request Timeout")

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def give_up(self) -> None:
        """Closes an idle connection, as its sender has too many of them."""
        if self.transport.get_write_buffer_size():  # a close would wait for a peer that reads nothing
            self.transport.abort()
        elif self._in_head:
            self._refuse(b"429 Too Many Requests")
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Refuses a head that is too large, and starts the deadline of one that is not complete."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._await_head()
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection on without leaving a cycle for the garbage collector, which runs seldom."""
        if self.transport.is_closing():
            return
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        """Notes that the head of another request begins."""
        super().on_message_begin()
        # What was answered within this piece of data has begun to wait for data; uvicorn ends that only between pieces.
        self._unset_keepalive_if_required()
        self._in_head = True
        self._at_once = False
        self._head = 0

    def on_headers_complete(self) -> None:
        """Ends the deadline when the head is complete, and refuses a large one that came in one piece."""
        self._in_head = False
        self._stop_waiting()
        self.idle.drop(self, self._parties)
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value)
        if size > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        if not self.transport.is_closing() and not self._answered_at_once():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a piece of the body, but not of a request that was refused or answered."""
        if not self.transport.is_closing() and not self._at_once:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request, but not one that was refused or answered."""
        if not self.transport.is_closing() and not self._at_once:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the deadline when the connection has ended."""
        self._stop_waiting()
        self.idle.drop(self, self._parties)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begins to wait for the next request, unless one has come already."""
        more = bool(self.pipeline)
        super().on_response_complete()
        if not more and not self.transport.is_closing():
            self.idle.add(self, self._parties)

    # ------------------------------------------------------------------------------------------------------- answers

    def _answered_at_once(self) -> bool:
        """Answers a request before uvicorn makes a scope and a cycle of it, if it is next and its answer is at hand."""
        last: RequestResponseCycle | None = self.cycle  # uvicorn has none before the first request
        busy = last is not None and not last.response_complete
        url = self.url
        # Addresses that take more to read, and requests that wait for their turn, are looked at again in `_begin`.
        if busy or self.pipeline or self.flow.write_paused or not url.isascii() or b"%" in url or b"#" in url:
            return False
        if self.parser.get_method() != b"GET" or not self.turns.room:
            return False
        path, _, query = url.partition(b"?")
        found = self.prompts.answer(path.decode(), query)
        if found is None or any(name in _MORE for name, _ in self.headers):
            return False
        self.turns.take(self.loop)
        self._at_once = True
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self._write(self.server_state.default_headers, *found, keep_alive=keep_alive)
        self.on_response_complete()
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begins a request now, or in one of the next turns of the event loop."""
        if self.turns.take(self.loop):
            self._begin(cycle, app)
        else:
            self.turns.wait(partial(self._begin, cycle, app))

    def _begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Answers a request at once, or starts its task."""
        scope = cycle.scope
        if scope["method"] == "GET" and not self.flow.write_paused:
            found = self.prompts.answer(scope["path"], scope["query_string"])
            if found is not None and not any(name in _MORE for name, _ in scope["headers"]):
                self._answer(cycle, *found)
                return
        super()._start_asgi_task(cycle, app)

    def _answer(self, cycle: RequestResponseCycle, headers: bytes, body: bytes) -> None:
        """Writes an answer as uvicorn does, and ends the request as the task of an application would."""
        if not cycle.disconnected:
            cycle.response_started = cycle.response_complete = True
            self._write(cycle.default_headers, headers, body, keep_alive=cycle.keep_alive)
            cycle.on_response()
        cycle.on_response = _nothing  # or it would keep this protocol, which keeps the cycle

    def _write(
        self, default_headers: list[tuple[bytes, bytes]], headers: bytes, body: bytes, *, keep_alive: bool
    ) -> None:
        end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[200], self._lines_of(default_headers), headers, end, body)))
        if not keep_alive:
            self.transport.close()

    @classmethod
    def _lines_of(cls, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """Returns the lines of the headers of every answer; the date among them is a new list each second."""
        known, lines = cls._always
        if known is not default_headers:
            lines = b"".join(b"%b: %b\r\n" % header for header in default_headers)
            cls._always = default_headers, lines
        return lines


def _nothing() -> None:
    pass


def http_protocol(prompts: Prompts, idle: IdleConnections) -> type[HubHttpProtocol]:
    """Returns the protocol of one server.

    Args:
        prompts: Answers requests at once.
        idle: Counts the connections of senders on which no request is being answered.
    """
    return type("HubHttpProtocol", (HubHttpProtocol,), {"prompts": prompts, "turns": Turns(), "idle": idle})
