"""The lifecycle of a websocket session, native or of the dialect: accept, serve, pause reading if necessary, close."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from asman_shared.errors import CLOSE_REASONS, AsmanError, CloseCode, NotFound, Overloaded

from ..access import Access
from ..hub import Hub

CLOSE_SECONDS: Final = 5.0
"""Longest time that sending a close may take, in seconds."""

REASON_BYTES: Final = 123
"""Largest close reason, in bytes; the rest of a close frame is its code (RFC 6455, 5.5)."""


def close_reason(text: str) -> str:
    """Returns as much of a sentence as fits into a close frame."""
    return text.encode()[:REASON_BYTES].decode(errors="ignore")


async def opened(hub: Hub, websocket: WebSocket) -> Access:
    """Returns the queue of a websocket that is being opened, with the rights of the key in its address.

    Raises:
        Overloaded: Its sender opens too many. One that goes on is answered late.
        AsmanError: As `Keys.access`.
    """
    sender = hub.sender(websocket)
    try:
        hub.limiter.opened(sender)
    except Overloaded:
        await asyncio.sleep(hub.limiter.patience(sender))
        raise
    return await hub.keys.access(websocket.path_params["queue"], sender)


def unopened(error: AsmanError) -> tuple[CloseCode, str]:
    """Returns the code and the reason with which a websocket is closed that can't be served."""
    code = CloseCode.OVERLOADED
    if error.field == "queue":
        code = CloseCode.UNKNOWN_KEY if isinstance(error, NotFound) else CloseCode.BAD_QUEUE
    return code, close_reason(error.message or CLOSE_REASONS[code])


class Closed(Exception):
    """Ends a session on purpose.

    Args:
        code: The close code, which is sent with its sentence.
        reason: The reason to send instead of the code's sentence.
    """

    def __init__(self, code: CloseCode, reason: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason or CLOSE_REASONS.get(code, "")


class Closable(Protocol):
    """The part of a send buffer that the end of a session needs."""

    def close(self) -> None:
        """Drops the frames that wait, and accepts no more."""
        ...


class Queue(Protocol):
    """The part of a queue that a connection needs to be closed with it."""

    @property
    def sockets(self) -> set[Any]:
        """Returns the connections to it."""

    @property
    def ended(self) -> bool:
        """Whether it is deleted."""


class SocketLifecycle(ABC):
    """A websocket connection, from its acceptance to its end.

    Args:
        websocket: The websocket, which is not accepted yet.
        subprotocol: The subprotocol to accept the websocket with, if any.
    """

    send_buffer: Closable

    def __init__(self, websocket: WebSocket, subprotocol: str | None) -> None:
        self.heard = asyncio.get_running_loop().time()
        self._websocket = websocket
        self._subprotocol = subprotocol
        self._closing: asyncio.Task[None] | None = None
        self._held_back = False

    @property
    @abstractmethod
    def logger(self) -> logging.Logger:
        """Returns the logger of this kind of session."""

    @abstractmethod
    async def _serve(self) -> None:
        """Handles messages until the connection ends; always ends by raising."""

    @abstractmethod
    async def _close_for(self, error: AsmanError) -> None:
        """Closes the connection because of an error that ended `_serve`."""

    async def _ended(self) -> None:  # noqa: B027 - a kind of session may have nothing to clean up
        """Cleans up after the last message; nothing is sent afterwards."""

    async def run_on(self, queue: Queue) -> None:
        """Serves the connection to a queue, which may close it, until it ends; never raises."""
        if queue.ended:  # while the connection was being made
            await self._websocket.accept(subprotocol=self._subprotocol)
            await self._close(CloseCode.DELETED, CLOSE_REASONS[CloseCode.DELETED])
            return
        queue.sockets.add(self)
        try:
            await self.run()
        finally:
            queue.sockets.discard(self)

    async def run(self) -> None:
        """Serves the connection until it ends; never raises."""
        await self._websocket.accept(subprotocol=self._subprotocol)
        try:
            try:
                await self._serve()
            except Closed as closed:
                await self._close(closed.code, closed.reason)
            except AsmanError as error:
                await self._close_for(error)
            except (WebSocketDisconnect, ConnectionError):
                self.logger.debug("the other side went away")
            except asyncio.CancelledError:
                await self._close(CloseCode.RESTART, CLOSE_REASONS[CloseCode.RESTART])
                raise
            except Exception:
                self.logger.exception("a session failed")
                await self._close(CloseCode.INTERNAL, "an error in the hub ended this connection; it was logged")
        finally:
            self.send_buffer.close()
            await self._ended()
            if self._closing is not None:
                await asyncio.wait([self._closing])

    def close_soon(self, code: CloseCode) -> None:
        """Closes the connection from outside its own task."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(code, CLOSE_REASONS.get(code, "")))

    def _too_slow(self) -> None:
        self.close_soon(CloseCode.SLOW_READER)

    async def _close(self, code: CloseCode, reason: str) -> None:
        self.send_buffer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(code, close_reason(reason))
        except (RuntimeError, WebSocketDisconnect, TimeoutError, OSError):
            self.logger.debug("the connection was gone before it could be closed")

    async def _hold_back(
        self, room: Callable[[], Coroutine[Any, Any, None]], interval: float, sign_of_life: Callable[[], None]
    ) -> None:
        """Pauses reading from this connection until there is room for its messages.

        Args:
            room: Waits for room; cancelled when the connection is being closed.
            interval: Time between two signs of life, in seconds.
            sign_of_life: Shows the other side that the hub is alive.
        """
        before, self._held_back = self._held_back, True
        waiting = asyncio.get_running_loop().create_task(room())
        try:
            while self._closing is None:
                await asyncio.wait([waiting], timeout=interval)
                if waiting.done():
                    waiting.result()
                    return
                sign_of_life()
        finally:
            waiting.cancel()
            self._held_back = before
            self.heard = asyncio.get_running_loop().time()
