"""A lasting connection to a queue: it reconnects by itself, and no request is lost or carried out twice.

There is one websocket at a time. All messages of one turn of the event loop leave in one frame. Requests without an
answer when the connection breaks are repeated on the next one. Every request may be repeated: a job is submitted by
the hash of its definition, so that a second submit joins the run that the first began. (A submit that may begin another
run of a job that is over first checks whether its own is the one that is over.) Followed jobs are followed again from
the line after the last one seen.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Literal, Never, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from asman_shared import limits
from asman_shared import messages as m
from asman_shared.codec import HUB_TO_CLIENT_FRAMES
from asman_shared.encoded import EncodedMessage, Language, frame
from asman_shared.errors import AsmanError, ConnectionFailed, NotFound, Overloaded, ProtocolError, TooLarge
from asman_shared.link.dial import SILENCE, close_reason, explain
from asman_shared.running.backoff import Backoff
from asman_shared.running.pacing import Pacer
from asman_shared.version import __version__

from .address import Address
from .dial import dial
from .session import Push, Reply, Request, Session
from .tracking import Tracker

log = logging.getLogger(__name__)

R = TypeVar("R")

UNANSWERED: Final = 4096
"""Largest number of requests without an answer; further requests wait."""
NOT_OPEN: Final = "this queue is not open: use 'async with asman.connect(…)' or await queue.open()"
CLOSED: Final = "this queue was closed; asman.connect(…) makes another one"
BUFFER_BYTES: Final = 1024 * 1024
"""Number of bytes waiting to be sent, beyond which senders wait."""
_LIMITED: Final[dict[type, str]] = {m.Submit: "submits", m.PutBlobs: "bytes"}
"""Requests that hubs limit, with what of them is limited (`asman_shared.messages.RateLimit`)."""
AGENT: Final = f"asman-python/{__version__}"


class AsyncOnly:
    """Says in a sentence that an object is opened by ``async with``, where it is used in ``with``."""

    def __enter__(self) -> Never:
        raise TypeError("a queue is opened by 'async with'; without await, use asman.sync.connect in 'with'")

    def __exit__(self, *_: object) -> None:
        """Is never reached, as nothing can be entered."""


class _LostError(Exception):
    """This websocket is gone; the session continues unless ``final`` gives a reason why it can't."""

    def __init__(self, why: str, final: AsmanError | None = None) -> None:
        super().__init__(why)
        self.final = final


class Connection:
    """The connection of one client to one queue.

    Args:
        address: The queue.
        follow: The changes that the hub pushes: ``jobs`` (of jobs submitted or followed here) or ``queue`` (all).
        timeout: Time limit for connecting and for each answer of a connected hub, in seconds.
        reconnect: Time that the hub may be away before waiting calls fail, in seconds; None for no limit.
        on_push: Called with each pushed change.
        on_open: Called after each reconnect; the argument tells whether all missed changes will be pushed.
        on_fail: Called when the connection has failed for good.

    Attributes:
        welcome: The hub's newest `Welcome`.
        failure: The error, once the connection has failed for good.
    """

    def __init__(
        self,
        address: Address,
        *,
        follow: Literal["jobs", "queue"] = "jobs",
        timeout: float = 30.0,
        reconnect: float | None = 300.0,
        on_push: Callable[[Push], None] | None = None,
        on_open: Callable[[bool], None] | None = None,
        on_fail: Callable[[], None] | None = None,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.welcome: m.Welcome | None = None
        self.session = Session(time.monotonic, on_push)
        self._follow: Literal["jobs", "queue"] = follow
        self._reconnect = reconnect
        self._on_open = on_open
        self._on_fail = on_fail
        self.failure: AsmanError | None = None
        self._task: asyncio.Task[None] | None = None
        self._ws: ClientConnection | None = None
        self._slots = asyncio.Semaphore(UNANSWERED)
        self._pacers = {what: Pacer(reconnect) for what in _LIMITED.values()}
        self._turn = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._connected = False
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._heard = 0.0

    # --------------------------------------------------------------------------------------------- opening, closing

    async def open(self) -> None:
        """Connects; does nothing on a connection that is open.

        Raises:
            ConnectionFailed: The hub can't be reached, or this connection was closed; the message gives the reason.
            NotFound: The hub knows no queue with the key in the address.
            ProtocolError: The server does not speak our protocol, or refuses this client.
        """
        async with self._opening:
            if self.failure is not None:
                raise self.failure
            if self._task is None:
                ws = self._ws = await self._dial_patiently()
                self._task = asyncio.create_task(self._run(ws), name="asman connection")

    async def close(self) -> None:
        """Ends the connection; waiting calls fail. Jobs keep running."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._ws is not None:
            await self._ws.close()
        self._fail(ConnectionFailed(CLOSED))

    def _fail(self, error: AsmanError) -> None:
        if self.failure is None:
            self.failure = error
            self._connected = False
            self._room.set()
            self.session.fail(error)
            if self._on_fail is not None:
                self._on_fail()

    def check_open(self) -> None:
        """Checks that requests can be made, now or once the hub is back.

        Raises:
            ConnectionFailed: The connection was not opened, was closed, or has failed for good.
            AsmanError: The error with which it has failed for good.
        """
        if self.failure is not None:
            raise self.failure
        if self._task is None:
            raise ConnectionFailed(NOT_OPEN)

    # ---------------------------------------------------------------------------------------------------- requests

    async def request(self, message: Request, reply: type[R], *, tracker: Tracker | None = None) -> R:
        """Sends a request and waits for its answer, over reconnects if necessary.

        A request that is too much for the hub's limits is made again when the hub takes it; the log says so.

        Cancelling the wait does not withdraw the request: the hub may carry it out.

        Args:
            message: The request; its ``ref`` is set here.
            reply: Type of the answer.
            tracker: Gets the job state in the answer before any later message.

        Raises:
            TimedOut: The hub is connected but does not answer.
            ConnectionFailed: The hub stayed away for longer than allowed, or this connection is not open.
            Overloaded: The hub has taken nothing of this kind for as long as it might be away.
            AsmanError: The hub answered with an error.
        """
        limited = _LIMITED.get(type(message))
        pacer = self._pacers[limited] if limited is not None else None
        while True:
            if pacer is not None:
                await pacer.turn()
            try:
                async with self._slots:
                    answer = await self._ask(message, tracker)
            except Overloaded as error:
                if pacer is None or error.retry_after is None:
                    raise
                rates = [] if self.welcome is None else self.welcome.rates
                pacer.refused(error, [rate for rate in rates if rate.what == limited])
                continue
            if pacer is not None:
                pacer.taken()
            break
        if not isinstance(answer, reply):
            raise ProtocolError(f"the hub answered {type(message).__name__} with {type(answer).__name__}")
        return answer

    async def _ask(self, message: Request, tracker: Tracker | None) -> Reply:
        if self._out_bytes > BUFFER_BYTES:
            async with self._turn:
                while self._out_bytes > BUFFER_BYTES and self.failure is None:
                    self._room.clear()
                    await self._room.wait()
        self.check_open()
        future = self.session.ask(message, tracker)
        try:
            self.send(message)
        except BaseException:
            future.cancel()
            raise
        return await future

    def tell(self, message: Request) -> None:
        """Sends a request without waiting for its answer; it is dropped if the connection is lost."""
        if self._connected:
            self.session.ask_once(message)
            self.send(message)

    def send(self, message: m.Message) -> None:
        """Puts a message into the next frame; without a connection it is dropped, and the session repeats it later.

        Raises:
            TooLarge: The message does not fit into a frame.
        """
        if not self._connected:
            return
        data = EncodedMessage(message).bytes_in(Language.MSGPACK)
        if len(data) + 8 > self._frame_bytes:
            raise TooLarge(f"this request has {len(data)} bytes; the maximum is {self._frame_bytes}")
        self._out.append(data)
        self._out_bytes += len(data)
        self._something.set()

    @property
    def _frame_bytes(self) -> int:
        hub = limits.FRAME_BYTES if self.welcome is None else self.welcome.limits.frame
        return min(hub, limits.FRAME_BYTES)

    # ------------------------------------------------------------------------------------------- one after another

    async def _dial(self) -> ClientConnection:
        hello = m.Hello(agent=AGENT, follow=self._follow, resume=self.session.resume)
        ws, welcome, rest = await dial(self.address, hello, self.timeout)
        again = self.welcome is not None
        self.welcome = welcome
        self._heard = time.monotonic()
        self._out.clear()
        self._out_bytes = 0
        self._connected = True
        for message in self.session.opened(welcome):
            self.send(message)
        if again and self._on_open is not None:
            self._on_open(welcome.recovered)
        for message in self.session.received(rest):
            self.send(message)
        return ws

    async def _dial_patiently(self) -> ClientConnection:
        """Dials; waits while the hub is there and takes no more connections of this machine for now."""
        pacer = Pacer(self._reconnect)
        while True:
            await pacer.turn()
            try:
                return await self._dial()
            except ConnectionFailed as error:
                if error.retry_after is None:
                    raise
                pacer.refused(error, [])

    async def _run(self, ws: ClientConnection) -> None:
        try:
            while True:
                why = await self._serve(ws)
                log.info("the hub at %s is away: %s", self.address.host, why)
                ws = self._ws = await self._dial_again(why)
        except AsmanError as error:
            self._fail(error)
        except Exception as error:
            log.exception("a defect ended the connection to %s", self.address.host)
            self._fail(AsmanError(f"a defect of this client ended the connection: {error!r}"))

    async def _dial_again(self, why: str) -> ClientConnection:
        lost = time.monotonic()
        backoff = Backoff()
        while True:
            await asyncio.sleep(backoff.next())
            try:
                return await self._dial()
            except (ConnectionFailed, NotFound) as error:
                why = error.message
            away = time.monotonic() - lost
            if self._reconnect is not None and away > self._reconnect:
                raise ConnectionFailed(f"the hub has been away for {away:.0f} seconds: {why}")

    async def _serve(self, ws: ClientConnection) -> str:
        """Serves one websocket until it is gone; returns the reason."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(ws))
                group.create_task(self._write(ws))
                group.create_task(self._watch())
        except* _LostError as lost:
            first = lost.exceptions[0]
            if isinstance(first, _LostError) and first.final is not None:
                raise first.final from None
            why = str(first)
        finally:
            self._connected = False
            self._out.clear()
            self._out_bytes = 0
            self._room.set()
            self.session.closed()
            await ws.close()
        return why

    async def _read(self, ws: ClientConnection) -> None:
        try:
            while True:
                data = await ws.recv()
                self._heard = time.monotonic()
                if isinstance(data, str):
                    raise _LostError("the hub sent text instead of msgpack")
                for message in self.session.received(HUB_TO_CLIENT_FRAMES.decode(data, Language.MSGPACK)):
                    self.send(message)
        except ConnectionClosed as closed:
            error = explain(closed, self.address, self.timeout)
            raise _LostError(close_reason(closed), error if isinstance(error, ProtocolError) else None) from None
        except AsmanError as error:
            raise _LostError(str(error)) from None

    async def _write(self, ws: ClientConnection) -> None:
        try:
            while True:
                await self._something.wait()
                self._something.clear()
                while self._out:
                    await ws.send(self._next_frame())
                    self._room.set()
        except ConnectionClosed as closed:
            raise _LostError(close_reason(closed)) from None

    def _next_frame(self) -> bytes:
        size, count = 5, 0
        for part in self._out:
            if size + len(part) > self._frame_bytes or count >= limits.FRAME_MESSAGES:
                break
            size += len(part)
            count += 1
        parts, self._out[:count] = self._out[:count], []
        self._out_bytes -= sum(map(len, parts))
        return frame(parts, Language.MSGPACK)

    async def _watch(self) -> None:
        """Sends a sign of life every heartbeat, and detects a silent hub and requests that it forgot."""
        heartbeat = limits.HEARTBEAT_MS if self.welcome is None else self.welcome.heartbeat
        beat = heartbeat / 1000
        tick = min(beat, 1.0, self.timeout / 4)
        said = time.monotonic()
        while True:
            await asyncio.sleep(tick)
            now = time.monotonic()
            if now - said >= beat:
                self.send(m.Ping())
                said = now
            if now - self._heard > SILENCE * beat:
                raise _LostError(f"nothing was heard from the hub for {now - self._heard:.0f} seconds")
            self.session.expire(self.timeout)
