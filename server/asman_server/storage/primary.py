"""Connections to the Postgres server that takes writes, among the hosts of a URL.

A standby may be promoted while its old primary goes on: nobody told it, or it was cut off. Both take writes then. Each
promotion begins a new timeline, so the primary is the server on the highest one, and a server on a lower timeline than
was seen before is never used again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

import asyncpg
from sqlalchemy.engine import URL

from .address import Host, driver_arguments, hosts_of

log = logging.getLogger("asman.hub.database")

SETTLE_SECONDS: Final = 2.0
"""Time that the other hosts get to answer once one takes writes, in seconds."""
LOOK_SECONDS: Final = 2.0
"""Time between two looks for a newer primary, and the longest time of one, in seconds."""
SILENT_SECONDS: Final = 10
"""Time without any sign of life of the other machine after which the kernel gives a connection up, in seconds."""

_TIMELINE: Final = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN 0"
    " ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END"
)
"""The timeline that a server writes; 0 for a standby."""


class _Found(NamedTuple):
    host: Host
    timeline: int
    connection: Any


class Primary:
    """The primary of a URL; all connections of a hub come from one.

    Args:
        url: The URL, see `address.parsed`.
        connect_timeout: Time limit for a new connection, in seconds.
        statement_timeout: Time limit for a statement, in seconds.

    Attributes:
        hosts: The servers of the URL.
        generation: Number of times that the primary became another server. A connection of an older one is useless.
        moved: Called after such a change.
    """

    def __init__(self, url: URL, *, connect_timeout: float, statement_timeout: float) -> None:
        self.hosts = hosts_of(url)
        self.generation = 0
        self.moved: list[Callable[[], None]] = []
        self._at: Host | None = None
        self._timeline = 0
        self._arguments = driver_arguments(url) | {"timeout": connect_timeout, "command_timeout": statement_timeout}

    async def connect(self, **more: Any) -> Any:
        """Opens a connection to the primary.

        Args:
            more: Further arguments for the driver.

        Raises:
            Exception: One of `database.DATABASE_ERRORS`: it can't be reached, or refuses the connection, or no host
                takes writes.
        """
        if len(self.hosts) == 1:
            return await self._open(self.hosts[0], more)
        if self._at is not None:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                found = await self._look(self._at, more)
                if found.timeline and found.timeline >= self._timeline:
                    return found.connection
                found.connection.terminate()
        return await self._search(more)

    async def watch(self) -> None:
        """Looks for a newer primary until it is cancelled."""
        while len(self.hosts) > 1:
            await asyncio.sleep(LOOK_SECONDS)
            for host in self.hosts:
                if host == self._at:
                    continue
                with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        found = await self._look(host, {})
                    found.connection.terminate()
                    if found.timeline > self._timeline:
                        self._move(found)
        await asyncio.Event().wait()

    async def _open(self, host: Host, more: dict[str, Any]) -> Any:
        connection = await asyncpg.connect(host=host.name, port=host.port, **self._arguments, **more)
        _notice_silence(connection)
        return connection

    async def _look(self, host: Host, more: dict[str, Any]) -> _Found:
        connection = await self._open(host, more)
        try:
            return _Found(host, await connection.fetchval(_TIMELINE), connection)
        except BaseException:
            connection.terminate()
            raise

    async def _search(self, more: dict[str, Any]) -> Any:
        """Asks all hosts at once, and takes the one on the highest timeline."""
        looks = [asyncio.create_task(self._look(host, more)) for host in self.hosts]
        waiting = set(looks)
        best: _Found | None = None
        try:
            while waiting:
                limit = None if best is None else SETTLE_SECONDS
                done, waiting = await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
                for found in (look.result() for look in done if look.exception() is None):
                    if found.timeline >= max(self._timeline, best.timeline + 1 if best is not None else 1):
                        best = found
            if best is None:
                raise _none_of(looks)
            if best.host != self._at:
                self._move(best)
            return best.connection
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
            for look in looks:
                if not look.cancelled() and look.exception() is None and look.result() is not best:
                    look.result().connection.terminate()

    def _move(self, found: _Found) -> None:
        first = self._at is None
        self._at, self._timeline = found.host, found.timeline
        if first:
            return
        self.generation += 1
        log.warning(
            "another server is the primary of the database now",
            extra={"host": str(found.host), "timeline": found.timeline},
        )
        for moved in self.moved:
            moved()


def _none_of(looks: list[asyncio.Task[_Found]]) -> BaseException:
    errors = [error for look in looks if (error := look.exception()) is not None]
    if len(errors) < len(looks):
        return ConnectionError("none of the hosts that can be reached is the primary: they are standbys, or outdated")
    return errors[0]


def _notice_silence(connection: Any) -> None:
    """Lets the kernel end a connection whose other machine is gone without a word."""
    own = connection._transport.get_extra_info("socket")
    if own is None or own.family == socket.AF_UNIX:
        return
    with suppress(OSError, AttributeError):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS // 2)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, SILENT_SECONDS // 2)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_SECONDS * 1000)
