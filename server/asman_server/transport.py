"""Writing websocket frames straight to the socket, with back-pressure that we can see.

uvicorn's websocket protocol is kept whole, and given one more ASGI extension, ``asman.writer``: a `FrameWriter` that
writes a finished frame without a coroutine, a task or another encoding, refuses when the connection is going away and
says when the socket has no room. A server's frames are unmasked (RFC 6455, 5.1), so one byte string serves every
subscriber: that doubled the fan-out measured in ``bench/``.
"""

from __future__ import annotations

from collections.abc import Callable

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

EXTENSION = "asman.writer"
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
    """One connection's way out.

    Attributes:
        on_drain: Called when a socket that had no room has room again.
    """

    __slots__ = ("_protocol", "on_drain")

    def __init__(self, protocol: HubWebSocketProtocol) -> None:
        self._protocol = protocol
        self.on_drain: Callable[[], None] = _nothing

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
        """Whether the socket takes more now."""
        return self._protocol.writable.is_set()

    def write(self, frame: bytes) -> bool:
        """Hands a whole frame to the socket; false when the connection is going away."""
        if not self.open:
            return False
        self._protocol.transport.write(frame)
        return True


def _nothing() -> None:
    pass


class HubWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's websocket protocol with a `FrameWriter` in the scope's extensions."""

    def handle_connect(self, event: Request) -> None:
        """Puts the writer where the application finds it, before the application runs."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        self.writer = FrameWriter(self)
        if scope is not None:
            scope["extensions"][EXTENSION] = self.writer

    def resume_writing(self) -> None:
        """Lets the outbox go on."""
        super().resume_writing()
        self.writer.on_drain()
