"""Writes websocket frames straight to the socket, with visible back-pressure.

uvicorn's websocket protocol is unchanged, but gets one more ASGI extension, ``asman.writer``: a `FrameWriter`. It
writes a finished frame without a coroutine, a task or another encoding, refuses frames while the connection is closing,
and reports whether the socket has room. A server's frames are unmasked (RFC 6455, 5.1), so one byte string serves every
subscriber.

A stalled peer can't keep a connection, nor much memory (`unfinished`). A closed connection whose peer does not read the
remaining data is cut off after `CLOSE_SECONDS`. Plain requests have a protocol of their own (`http_transport`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from asman_shared.errors import CLOSE_REASONS, CloseCode

from . import unfinished
from .slim import SlimEvent, SlimQueue
from .unfinished import Unfinished

EXTENSION = "asman.writer"
CLOSE_SECONDS: Final = 10.0
"""Time in which a closing connection must take its remaining data, in seconds."""
LINGER_SECONDS: Final = 1.0
"""Time without data after which the socket of a peer that sent what can't be read is closed, in seconds."""
_TEXT, _BINARY = b"\x81", b"\x82"


def framed(payload: bytes, *, text: bool) -> bytes:
    """One unmasked, unfragmented frame (RFC 6455, 5.2)."""
    opcode = _TEXT if text else _BINARY
    size = len(payload)
    if size < 126:
        return opcode + bytes((size,)) + payload
    if size < 2**16:
        return opcode + b"\x7e" + size.to_bytes(2, "big") + payload
    return opcode + b"\x7f" + size.to_bytes(8, "big") + payload


class FrameWriter:
    """Writes finished frames to the socket of one connection.

    Attributes:
        on_drain: Called when a socket that had no room has room again.
        on_stop: Called when the socket has no more room, and when the connection begins to close: direct writes must
            stop at once.
    """

    __slots__ = ("_protocol", "on_drain", "on_stop")

    def __init__(self, protocol: HubWebSocketProtocol) -> None:
        self._protocol = protocol
        self.on_drain: Callable[[], None] = _nothing
        self.on_stop: Callable[[], None] = _nothing

    @property
    def open(self) -> bool:
        """Whether frames can still be written."""
        protocol = self._protocol
        return (
            protocol.conn.state is State.OPEN
            and not protocol.close_sent
            and not protocol.disconnected
            and not protocol.transport.is_closing()
        )

    @property
    def room(self) -> bool:
        """Whether the socket has room now."""
        return self._protocol.writable.is_set()

    @property
    def direct(self) -> Callable[[bytes], object]:
        """Hands a whole frame to the socket, which must be open and have room; not allowed after `on_stop`.

        Raises:
            RuntimeError: The socket has just broken, and its end is not reported yet.
        """
        return self._protocol.transport.write

    def write(self, frame: bytes) -> bool:
        """Hands a whole frame to the socket; returns False when the connection is closing."""
        if not self.open:
            return False
        self._protocol.transport.write(frame)
        return True


def _nothing() -> None:
    pass


class HubWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's websocket protocol with a `FrameWriter` in the scope's extensions."""

    _linger: asyncio.TimerHandle | None = None
    """Closes the socket once the peer pauses; set while what it sends is read and dropped."""
    _deadline: asyncio.TimerHandle | None = None
    """Looks again whether the message that is arriving takes too long."""
    _begun = 0.0
    """Time at which the present message began to arrive, by the event loop's clock."""
    _held = 0
    """Bytes that the present message holds in memory."""
    unfinished = Unfinished()
    """Counts what all connections of this process hold."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = SlimQueue()  # type: ignore[assignment]
        self.writable = SlimEvent()  # type: ignore[assignment]
        self.writer = FrameWriter(self)

    def handle_connect(self, event: Request) -> None:
        """Puts the writer into the scope before the application runs."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][EXTENSION] = self.writer

    def pause_writing(self) -> None:
        """Pauses the send buffer."""
        super().pause_writing()
        self.writer.on_stop()

    def resume_writing(self) -> None:
        """Resumes the send buffer."""
        super().resume_writing()
        self.writer.on_drain()

    async def send(self, message: ASGISendEvent) -> None:
        """Closes at once, even when the socket has no room; otherwise like uvicorn."""
        open_ = self.handshake_complete and not self.close_sent and not self.disconnected
        if message["type"] == "websocket.close" and open_ and self.initial_response is None:
            self._close(message.get("code") or 1000, message.get("reason") or "")
            return
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._forget_handshake()

    def _forget_handshake(self) -> None:
        """Drops the handshake's request and response, which take 5 KiB per connection."""
        self.request.headers.clear()  # the parser keeps the request itself
        self.request = self.response = None  # type: ignore[assignment]
        self.scope["headers"] = []

    def _close(self, code: int, reason: str) -> None:
        if self.transport.is_closing():
            return
        self.writer.on_stop()
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            raise ClientDisconnected from None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._cut_off_later()

    def _cut_off_later(self) -> None:
        """Bounds the close: a closed transport first writes its data, for ever if the peer does not read."""
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        """Takes a whole message; text that is not UTF-8 is the peer's fault and is not logged."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(CloseCode.BAD_TEXT, CLOSE_REASONS[CloseCode.BAD_TEXT])
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()
        self._begun = self.loop.time()

    def _weigh(self) -> None:
        """Counts what the present message holds, and ends the connection if that is too much."""
        pieces = len(self.frames)
        arrived = self.conn.current_size or 0 if pieces else 0
        held = unfinished.weight(len(self.conn.reader.buffer), arrived, pieces)
        let_in = self.unfinished.change(self._held, held)
        self._held = held
        if self.close_sent or not held:
            self._let_go()
        elif pieces > unfinished.PIECES:
            self._give_up(CloseCode.TOO_BIG, f"a message has at most {unfinished.PIECES} pieces")
        elif not let_in:
            self._give_up(CloseCode.OVERLOADED, "too many messages are arriving at this hub at once; try again later")
        elif self._deadline is None:
            self._begun = self.loop.time()
            self._deadline = self.loop.call_later(unfinished.GRACE_SECONDS, self._look_at_pace)

    def _look_at_pace(self) -> None:
        """Ends the connection of a peer whose message takes too long, unless the hub does not read it."""
        self._deadline = None
        now = self.loop.time()
        if self.read_paused:
            self._begun = now
        left = self._begun + unfinished.allowed_seconds(self._held) - now
        if left <= 0:
            self._give_up(CloseCode.TOO_SLOW, CLOSE_REASONS[CloseCode.TOO_SLOW])
        else:
            self._deadline = self.loop.call_later(left, self._look_at_pace)

    def _give_up(self, code: int, reason: str) -> None:
        self.conn.send_close(code, reason)
        self.frames = []
        self.conn.reader.buffer.clear()
        self._let_go()
        self.handle_parser_exception()

    def _let_go(self) -> None:
        self.unfinished.change(self._held, 0)
        self._held = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def handle_close(self, event: Frame) -> None:
        """Handles the close frame of the peer."""
        self.writer.on_stop()
        super().handle_close(event)
        self._cut_off_later()

    def data_received(self, data: bytes) -> None:
        """Takes data; what follows a broken message is dropped."""
        if self._linger is not None:
            self._close_soon()
            return
        super().data_received(data)
        if self.conn.reader.buffer or self.frames or self._held:
            self._weigh()

    def handle_parser_exception(self) -> None:
        """Handles a peer that breaks the protocol or sends too large a message.

        The rest of what it sends is read and dropped until it pauses: a socket that is closed with unread data is
        reset, and the peer may then lose the close frame, which says what was wrong.
        """
        self.writer.on_stop()
        closed = self.conn.close_sent
        code, reason = (CloseCode.BAD_FRAME, "") if closed is None else (closed.code, closed.reason)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        self._close_soon()
        self._cut_off_later()

    def _close_soon(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def shutdown(self) -> None:
        """Closes the connection because the hub stops."""
        self.writer.on_stop()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the writer and the timers when the connection has ended."""
        self.writer.on_stop()
        if self._linger is not None:
            self._linger.cancel()
        self._let_go()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Closes after an unanswered ping, unless the answer is unread because the application holds it back."""
        if self.read_paused and not self.close_sent and not self.transport.is_closing():
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
            return
        self.writer.on_stop()
        super().keepalive_timeout()
        self._cut_off_later()
