"""Runs a hub: as the whole process (``asman hub``) or beside other tasks in one (``asman up``)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import uvicorn

from asman_shared import limits
from asman_shared.errors import ConnectionFailed, Unavailable
from asman_shared.running.full_outputs import give_up_full_outputs
from asman_shared.running.supervisor import TASK_FAILED

from .app import make_app, prompts_of
from .config import HubConfig
from .delivery.http_transport import http_protocol
from .delivery.transport import HubWebSocketProtocol
from .front.proxies import trusted_networks
from .gc_tuning import look_seldom
from .hub import Hub
from .limiting.idle import IdleConnections
from .logging_setup import set_up_logging
from .open_files import raise_open_files

log = logging.getLogger("asman.hub")

PING_SECONDS = 20.0
"""Time between two pings of a connection, and the longest time to answer one, in seconds."""
BACKLOG = 4096


class _Server(uvicorn.Server):
    """uvicorn's server without its own signal handlers: the caller decides when it ends."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures no signals."""
        yield


class HubServer:
    """A hub that listens.

    Args:
        config: The settings.

    Raises:
        Misconfigured: The certificate can't be used.
    """

    def __init__(self, config: HubConfig) -> None:
        self.config = config
        self.hub = Hub(config)
        certificate = self.hub.certificate
        self._scheme = "http" if certificate is None else "https"
        idle = IdleConnections(self.hub.limiter, trusted_networks(config.trusted_proxies))
        self._server = _Server(
            uvicorn.Config(
                make_app(self.hub),
                host=config.host,
                port=config.port,
                ws=HubWebSocketProtocol,
                ws_max_size=limits.WEBSOCKET_BYTES,
                ws_per_message_deflate=False,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_SECONDS,
                http=http_protocol(prompts_of(self.hub), idle),
                lifespan="on",
                proxy_headers=False,
                ssl_context_factory=None if certificate is None else (lambda _config, _default: certificate.context),
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=max(1, int(config.shutdown_timeout)),
            )
        )
        self._serving: asyncio.Task[None] | None = None
        self._open = AsyncExitStack()
        self._port = config.port
        self._local_port = 0

    @property
    def address(self) -> str:
        """The hub's URL, without a slash at the end; known once it has started."""
        if self.config.public_url:
            return self.config.public_url.rstrip("/")
        host = self.config.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            host = "127.0.0.1"
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def local_address(self) -> str:
        """The URL at which pages of the queue ``local`` find the hub; empty when there is none."""
        port = self._local_port or self._port
        return f"http://127.0.0.1:{port}" if self.config.local_queue else ""

    @property
    def found_by_pages(self) -> bool:
        """Whether this hub has the port of the queue ``local``."""
        return self.config.local_port in (self._port, self._local_port)

    async def start(self) -> None:
        """Starts to listen.

        Raises:
            ConnectionFailed: The port is taken or the address is not this machine's.
            Unavailable: The database can't be opened, or another hub uses it or the data folder.
        """
        listeners = [_listen(self.config.host, self.config.port)]
        self._port = listeners[0].getsockname()[1]
        if self.config.local_port not in (0, self._port):
            try:
                listeners.append(_listen("127.0.0.1", self.config.local_port))
                self._local_port = self.config.local_port
            except ConnectionFailed as error:
                log.warning("the port for the queue 'local' can't be used", extra={"error": error.message})
        try:
            await self._open.enter_async_context(self.hub.open())
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        self._serving = asyncio.get_running_loop().create_task(self._server.serve(listeners))
        while not self._server.started:
            done, _ = await asyncio.wait([self._serving], timeout=0.01)
            if done:
                await self._serving
                raise Unavailable("the hub could not start; see its log")
        log.info("hub listening", extra={"address": self.address})

    async def stop(self) -> None:
        """Ends connections politely, writes the remaining changes and closes, within the shutdown timeout."""
        self.hub.closing.set()
        self._server.should_exit = True
        try:
            if self._serving is not None:
                await self._serving
        finally:
            await self._open.aclose()

    async def wait(self) -> None:
        """Returns when the server has ended, or when a task of the hub has, without which it only seems to work."""
        if self._serving is None:
            return
        failing = asyncio.get_running_loop().create_task(self.hub.supervisor.ended.wait())
        await asyncio.wait([self._serving, failing], return_when=asyncio.FIRST_COMPLETED)
        failing.cancel()
        if self._serving.done():
            await self._serving


def _listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket.

    Raises:
        ConnectionFailed: The port is taken or the address is not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        raise ConnectionFailed(
            f"the hub can't listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from error
    return listener


async def serve(config: HubConfig, stop: asyncio.Event, on_ready: Callable[[str], None] | None = None) -> int:
    """Runs a hub until ``stop`` is set, or until one of its own tasks fails; returns the exit code.

    Args:
        config: The settings.
        stop: Set to end the hub.
        on_ready: Called with the hub's address once it listens.
    """
    server = HubServer(config)
    loop = asyncio.get_running_loop()
    stopping = loop.create_task(stop.wait())
    starting = loop.create_task(server.start())
    try:
        await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():  # it waits for a database, or for another hub to go
            starting.cancel()
            await asyncio.wait([starting])
            return 0
        starting.result()
        if on_ready is not None:
            on_ready(server.address)
        ended = loop.create_task(server.wait())
        await asyncio.wait([stopping, ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await server.stop()
    await ended
    return TASK_FAILED if server.hub.supervisor.failed else 0


def run_hub(config: HubConfig, on_ready: Callable[[str], None] | None = None) -> int:
    """Runs a hub as the whole process, until SIGTERM or SIGINT; returns its exit code. For ``on_ready`` see `serve`."""
    import signal

    import uvloop

    set_up_logging(config.log_level, config.log_format)

    raise_open_files()
    look_seldom()

    async def main() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        give_up_full_outputs((signal.SIGTERM, signal.SIGINT))
        return await serve(config, stop, on_ready)

    return uvloop.run(main())
