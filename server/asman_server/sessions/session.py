"""The base of both kinds of native sessions: handshake, incoming frames, send buffer, and errors as answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from asman_shared import limits
from asman_shared.codec import Broken, FrameDecoder
from asman_shared.encoded import EncodedMessage, Language
from asman_shared.errors import AsmanError, CloseCode, Forbidden, ProtocolError, TooLarge
from asman_shared.messages import BlobLinks, BlobTickets, Error, GetBlobs, Message, Ping, Pong, PutBlobs

from ..access import Access
from ..access.table import Needs
from ..delivery.send_buffer import SendBuffer
from ..delivery.transport import EXTENSION
from ..services import Services
from .base import Closed, SocketLifecycle

log = logging.getLogger("asman.hub.session")

HELLO_TIMEOUT = 10.0
"""Time limit for the first message of the dialling side, in seconds."""

SAY_SECONDS: Final = limits.HEARTBEAT_MS / 1000
"""Interval between pings to another side whose messages are not being read, in seconds."""

BESIDE = 8
"""Largest number of requests of one connection that wait for something slow, beside the other requests."""

M = TypeVar("M")


def language_of(websocket: WebSocket) -> Language | None:
    """Returns the first native language that the dialling side offers, or None."""
    for offered in websocket.scope["subprotocols"]:
        for language in Language:
            if offered == language.value:
                return language
    return None


class SocketSession(SocketLifecycle, Generic[M]):
    """One native websocket connection.

    Args:
        websocket: The websocket, which is not accepted yet.
        language: The language of the connection.
        access: The rights that its key grants.
        decoder: The decoder of incoming frames.
        needs: The rights that each message needs.
        services: The hub's services.
    """

    def __init__(
        self,
        websocket: WebSocket,
        language: Language,
        access: Access,
        decoder: FrameDecoder[M],
        needs: Mapping[type, Needs],
        services: Services,
    ) -> None:
        super().__init__(websocket, language.value)
        self.access = access
        self.language = language
        self._decoder = decoder
        self._refused = {kind: rights for kind, rights in needs.items() if not rights <= access.rights}
        self._blobs = services.blobs
        self._limiter = services.limiter
        self._beside: set[asyncio.Task[None]] = set()
        writer = websocket.scope["extensions"][EXTENSION]
        self.send_buffer: SendBuffer = SendBuffer(writer, language, services.flusher, self._too_slow)

    @property
    def logger(self) -> logging.Logger:
        """Returns the logger of native sessions."""
        return log

    def say(self, message: Message) -> None:
        """Sends a message at the end of this turn of the loop."""
        self.send_buffer.push(EncodedMessage(message))

    def refuse(self, error: AsmanError, ref: int | None) -> None:
        """Answers with an error."""
        self.say(Error.of(error, ref))

    async def beside(self, ref: int, answer: Callable[[], Awaitable[Message]]) -> None:
        """Answers a request while the next messages are read; waits only if too many such answers are pending.

        Args:
            ref: The reference of the request.
            answer: Makes the answer, or raises the error to answer instead.
        """
        while len(self._beside) >= BESIDE:
            await asyncio.wait(self._beside, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.get_running_loop().create_task(self._answer(ref, answer))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _answer(self, ref: int, answer: Callable[[], Awaitable[Message]]) -> None:
        try:
            self.say(await answer())
        except AsmanError as error:
            self.refuse(error, ref)
        except Exception:
            log.exception("a request failed")
            self.refuse(AsmanError("an error in the hub; it was logged"), ref)

    async def _close(self, code: CloseCode, reason: str) -> None:
        self.send_buffer.flush()
        await super()._close(code, reason)

    async def _close_for(self, error: AsmanError) -> None:
        self.refuse(error, None)
        code = CloseCode.FORBIDDEN if isinstance(error, Forbidden) else CloseCode.PROTOCOL
        await self._close(code, error.message)

    async def _ended(self) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    async def _frame(self) -> bytes:
        event: dict[str, Any] = dict(await self._websocket.receive())
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        self.heard = asyncio.get_running_loop().time()
        data = event.get("bytes")
        if data is not None and self.language is Language.MSGPACK:
            return bytes(data)
        text = event.get("text")
        if text is not None and self.language is Language.JSON:
            return str(text).encode()
        raise Closed(CloseCode.PROTOCOL, f"this connection speaks {self.language.value}")

    async def first(self, kind: type[Any]) -> tuple[Any, list[M | Broken]]:
        """Returns the dialling side's first message, and the other messages of the same frame.

        Raises:
            Closed: The message is of another kind or version, or did not come in time.
        """
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                messages = self._decode(await self._frame())
        except TimeoutError:
            raise Closed(CloseCode.HELLO_TIMEOUT) from None
        if not messages:
            raise Closed(CloseCode.PROTOCOL, "the first frame was empty")
        hello = messages[0]
        if isinstance(hello, Broken):
            raise ProtocolError(f"the first message can't be read: {hello.error.message}", field=hello.error.field)
        if not isinstance(hello, kind):
            raise Closed(CloseCode.PROTOCOL, f"the first message must be a '{kind.__struct_config__.tag}'")
        if hello.protocol != limits.PROTOCOL_VERSION:
            raise Closed(CloseCode.VERSION, f"this hub speaks version {limits.PROTOCOL_VERSION}, not {hello.protocol}")
        return hello, messages[1:]

    def _decode(self, data: bytes) -> list[M | Broken]:
        try:
            return self._decoder.decode(data, self.language)
        except AsmanError as error:
            self.refuse(error, None)
            self.send_buffer.flush()
            code = CloseCode.TOO_BIG if isinstance(error, TooLarge) else CloseCode.PROTOCOL
            raise Closed(code, error.message) from None

    async def ahead(self, messages: list[Any]) -> list[Any]:
        """Prepares several messages together before they are handled one by one; returns the messages to handle."""
        return messages

    async def each(self, rest: list[M | Broken], take: Callable[[M], Any]) -> None:
        """Calls ``take`` with every message until the connection ends; ``take`` may return an awaitable."""
        messages = rest
        while True:
            if len(messages) > 1:
                messages = await self.ahead(messages)
            for message in messages:
                if isinstance(message, Broken):
                    self.refuse(message.error, message.ref)
                    continue
                try:
                    if self._refused and (needed := self._refused.get(type(message))) is not None:
                        self.access.need_all(needed)
                    waiting = take(message)
                    if waiting is not None:
                        await waiting
                except AsmanError as error:
                    self.refuse(error, getattr(message, "ref", None))
                    if error.retry_after is not None and (wait := self._limiter.patience(self.access.sender)):
                        await self._paused(wait)
                except msgspec.MsgspecError as error:
                    self.refuse(ProtocolError(str(error)), getattr(message, "ref", None))
            messages = self._decode(await self._frame())

    async def _paused(self, seconds: float) -> None:
        """Reads nothing from this connection for some time; pings show the other side that the hub is alive."""
        await self._hold_back(partial(asyncio.sleep, seconds), SAY_SECONDS, lambda: self.say(Ping()))

    def ping(self, message: Ping) -> None:
        """Answers a ping."""
        self.say(Pong(ref=message.ref))

    async def put_blobs(self, message: PutBlobs) -> None:
        """Answers with the missing blobs and how to send them, while the next messages are read."""
        await self.beside(message.ref, lambda: self._tickets(message))

    async def _tickets(self, message: PutBlobs) -> BlobTickets:
        access = self.access
        take = partial(self._limiter.store_once, access) if access.sender else None
        return BlobTickets(ref=message.ref, tickets=await self._blobs.tickets(access.queue, message.blobs, take))

    async def get_blobs(self, message: GetBlobs) -> None:
        """Answers with the addresses at which blobs can be read, while the next messages are read."""
        await self.beside(message.ref, lambda: self._links(message))

    async def _links(self, message: GetBlobs) -> BlobLinks:
        return BlobLinks(ref=message.ref, links=await self._blobs.links(self.access.queue, message.keys))
