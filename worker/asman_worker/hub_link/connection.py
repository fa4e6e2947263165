"""The connection to the hub: one socket, dialled again whenever it is lost, and checked by the messages on it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from asman_shared import limits
from asman_shared.address import Address
from asman_shared.codec import HUB_TO_WORKER_FRAMES, Broken, encode
from asman_shared.encoded import Language
from asman_shared.errors import (
    AsmanError,
    CloseCode,
    ConnectionFailed,
    NotFound,
    ProtocolError,
    Unavailable,
)
from asman_shared.link.dial import DIAL_ERRORS, SILENCE, explain, open_socket
from asman_shared.messages import (
    BlobLinks,
    BlobTickets,
    Error,
    GetBlobs,
    HubToWorker,
    Ping,
    Pong,
    PutBlobs,
    Register,
    Registered,
)
from asman_shared.running.backoff import Backoff

from .send_buffer import SendBuffer

log = logging.getLogger("asman.worker.connection")
#: At level DEBUG the library writes addresses, and an address holds the queue's name, which is a secret.
_wire_log = logging.getLogger("asman.worker.websocket")
_wire_log.setLevel(logging.INFO)

R = TypeVar("R", BlobLinks, BlobTickets)

OPEN_SECONDS: Final = 15.0


class Peer(Protocol):
    """The party that speaks through a connection."""

    def introduce(self) -> Register:
        """Returns the first message of a new connection: the identity of this worker and everything it holds."""
        ...

    def registered(self, answer: Registered) -> None:
        """Handles the hub's answer; from now on messages in the send buffer are sent."""
        ...

    def received(self, messages: Sequence[HubToWorker]) -> None:
        """Handles the messages of one frame."""
        ...

    def disconnected(self) -> None:
        """Handles the loss of the connection, which closes the send buffer."""
        ...


class HubConnection:
    """Keeps one connection to a queue for as long as `run` runs.

    Args:
        target: The queue.
        send_buffer: The messages to send; it is opened and closed with each registration.
        short: The queue's name in the log.
        backoff: The waits between two tries.
        stable: Time after which a connection counts as good and the waits start over, in seconds.
    """

    def __init__(
        self,
        target: Address,
        send_buffer: SendBuffer,
        short: str,
        *,
        backoff: Backoff | None = None,
        stable: float = 2.0,
    ) -> None:
        self.target = target
        self._short = short
        self.send_buffer = send_buffer
        self._backoff = backoff or Backoff(0.2, 15.0)
        self._stable = stable
        self._refs = itertools.count(1)
        self._asked: dict[int, asyncio.Future[HubToWorker]] = {}
        self._heard = 0.0
        self._said = ""
        self._registered = asyncio.Event()
        self._idle = asyncio.Event()
        self._renewing = asyncio.Event()
        self._renewed = asyncio.Event()

    async def run(self, peer: Peer) -> None:
        """Connects, and connects again, until cancelled.

        Args:
            peer: The party that speaks through the connection.

        Raises:
            ProtocolError: The hub refuses this worker for good.
        """
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._connect_once(peer)
            except (ConnectionFailed, NotFound) as error:
                self._complain(error.message)
            if loop.time() - began > self._stable:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.next())

    async def registered(self) -> None:
        """Waits until there is a registered connection."""
        await self._registered.wait()

    async def renew(self) -> None:
        """Connects and registers again, to repeat the worker's introduction; returns once that is done."""
        self.renew_soon()
        await self._renewed.wait()

    def renew_soon(self) -> None:
        """Begins to connect and register again."""
        self._renewed.clear()
        self._renewing.set()

    async def flushed(self, timeout: float) -> None:
        """Waits until all messages in the send buffer are sent, at most ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.send_buffer:
                    self._idle.clear()
                    await self._idle.wait()

    async def request(self, message: PutBlobs | GetBlobs, reply: type[R]) -> R:
        """Sends a request and waits for its answer.

        Args:
            message: The request; its ``ref`` is set here.
            reply: The answer's type.

        Raises:
            Unavailable: There is no connection, or it was lost before the answer.
            AsmanError: The error that the hub answered.
        """
        if not self.send_buffer.is_open:
            raise Unavailable("there is no connection to the hub")
        message.ref = ref = next(self._refs)
        future: asyncio.Future[HubToWorker] = asyncio.get_running_loop().create_future()
        self._asked[ref] = future
        try:
            self.send_buffer.put(message)
            answer = await future
        finally:
            self._asked.pop(ref, None)
        if isinstance(answer, reply):
            return answer
        if isinstance(answer, Error):
            error = answer.error
            raise Unavailable(error.message, retry_after=error.retry_after) if answer.retry else error
        raise ProtocolError("the hub answered a request with the wrong message")

    # ------------------------------------------------------------------------------------------------ one socket

    async def _connect_once(self, peer: Peer) -> None:
        """Runs one connection from dialling to its end; always ends by raising.

        Raises:
            ConnectionFailed: The connection could not be made, or was lost.
            NotFound: The hub does not know the key in the queue's address yet.
            ProtocolError: The hub refuses this worker for good.
        """
        try:
            socket_ = await open_socket(
                self.target.worker_socket,
                open_timeout=OPEN_SECONDS,
                max_queue=(8, 2),
                user_agent_header=None,
                logger=_wire_log,
            )
            async with socket_:
                try:
                    await self._serve(socket_, peer)
                except asyncio.CancelledError:
                    await socket_.close(CloseCode.GOING_AWAY)
                    raise
        except DIAL_ERRORS as error:
            raise explain(error, self.target, OPEN_SECONDS) from error

    async def _serve(self, socket_: ClientConnection, peer: Peer) -> None:
        self._renewing.clear()
        self._renewed.set()
        await socket_.send(encode([peer.introduce()]))
        answer, rest = await self._opening(socket_)
        self._heard = asyncio.get_running_loop().time()
        log.info("registered at %s, queue %s, as worker %s", self.target.hub, self._short, answer.worker)
        self._said = ""
        try:
            self.send_buffer.open()
            self._registered.set()
            peer.registered(answer)
            self._receive(rest, peer)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(socket_, peer), name="read")
                tasks.create_task(self._write(socket_), name="write")
                tasks.create_task(self._beat(socket_, answer.heartbeat / 1000), name="beat")
                tasks.create_task(self._until_renewed(), name="renew")
        except BaseExceptionGroup as group:
            raise _telling(group) from group
        finally:
            self._registered.clear()
            self.send_buffer.close()
            self._idle.set()
            self._fail_asked()
            peer.disconnected()

    async def _opening(self, socket_: ClientConnection) -> tuple[Registered, list[HubToWorker]]:
        """Returns the hub's answer to `Register`, and the messages that came after it in the same frame."""
        async with asyncio.timeout(OPEN_SECONDS):
            data = await socket_.recv(decode=False)
        messages = self._decode(data)
        match messages:
            case [Registered() as answer, *rest]:
                if answer.protocol != limits.PROTOCOL_VERSION:
                    raise ProtocolError(
                        f"the hub speaks protocol {answer.protocol} and this worker {limits.PROTOCOL_VERSION}; "
                        "use the same version of both"
                    )
                return answer, rest
            case [Error() as error, *_]:
                if error.retry:
                    raise ConnectionFailed(f"the hub refuses this worker for now: {error.message}")
                raise ProtocolError(f"the hub refuses this worker: {error.message}", field=error.field)
            case _:
                raise ConnectionFailed("the hub's first message is not the answer to a registration")

    async def _read(self, socket_: ClientConnection, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await socket_.recv(decode=False)
            self._heard = loop.time()
            self._receive(self._decode(data), peer)

    async def _write(self, socket_: ClientConnection) -> None:
        while True:
            await self.send_buffer.wait()
            for frame in self.send_buffer.frames():
                await socket_.send(frame)
            self._idle.set()

    async def _until_renewed(self) -> None:
        await self._renewing.wait()
        raise ConnectionFailed("this worker has to register again")

    async def _beat(self, socket_: ClientConnection, interval: float) -> None:
        """Sends a sign of life each interval; gives up the connection after a silence of 2.5 intervals."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(interval)
            if loop.time() - self._heard > SILENCE * interval:
                socket_.transport.abort()
                raise ConnectionFailed(f"nothing was heard from the hub for {SILENCE * interval:.3g} s")
            self.send_buffer.put(Ping())

    def _decode(self, data: bytes) -> list[HubToWorker]:
        """Returns the readable messages of a frame; logs the others, because a newer hub may send unknown ones."""
        try:
            found = HUB_TO_WORKER_FRAMES.decode(data, Language.MSGPACK)
        except AsmanError as error:
            raise ConnectionFailed(f"the hub sent a frame that can't be read: {error.message}") from error
        messages: list[HubToWorker] = []
        for message in found:
            if not isinstance(message, Broken):
                messages.append(message)
            elif message.ref is not None and (future := self._asked.pop(message.ref, None)) is not None:
                if not future.done():
                    future.set_exception(ProtocolError(f"the answer can't be read: {message.error.message}"))
            else:
                log.warning("ignored an unreadable message of the hub: %s", message.error.message)
        return messages

    def _receive(self, messages: Sequence[HubToWorker], peer: Peer) -> None:
        rest: list[HubToWorker] = []
        for message in messages:
            match message:
                case Ping(ref=ref):
                    self.send_buffer.put(Pong(ref))
                case Pong():
                    pass
                case BlobTickets(ref=ref) | BlobLinks(ref=ref):
                    self._answer(ref, message)
                case Error(ref=int(ref)):
                    self._answer(ref, message)
                case Error():
                    log.warning("the hub could not use a message: %s (%s)", message.message, message.code)
                case Registered():
                    log.warning("the hub answered a registration twice; ignored")
                case _:
                    rest.append(message)
        if rest:
            peer.received(rest)

    def _complain(self, sentence: str) -> None:
        """Logs the reason why there is no connection, once per reason."""
        log.log(logging.DEBUG if sentence == self._said else logging.WARNING, "%s; trying again", sentence)
        self._said = sentence

    # -------------------------------------------------------------------------------------------------- requests

    def _answer(self, ref: int, message: HubToWorker) -> None:
        future = self._asked.pop(ref, None)
        if future is not None and not future.done():
            future.set_result(message)

    def _fail_asked(self) -> None:
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Unavailable("the connection to the hub was lost before it answered"))


def _telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Returns the most useful error of a group: the first that is not just the closed socket."""
    errors: list[BaseException] = []
    groups: list[BaseException] = [group]
    while groups:
        error = groups.pop(0)
        if isinstance(error, BaseExceptionGroup):
            groups.extend(error.exceptions)
        else:
            errors.append(error)
    return next((error for error in errors if not isinstance(error, ConnectionClosed)), errors[0])
