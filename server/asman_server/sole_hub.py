"""Keeps a second hub away from the data of a running one.

Two hubs on one data folder or one database would each hold the same queues in memory: a job would run twice, and both
results would be accepted. A lock on a file keeps a second hub from a data folder and from a SQLite database, and an
advisory lock of a session keeps it from a Postgres database. The kernel or the database drops them when a hub ends, in
any way. They guard against mistakes, not against a hub that is frozen for long and comes back.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from asman_shared.errors import Misconfigured, Unavailable

from .storage.address import is_sqlite
from .storage.database import DATABASE_ERRORS, first_connection, make_primary, reason_of, sqlite_file
from .storage.primary import Primary

log = logging.getLogger("asman.hub")

WAIT_SECONDS: Final = 4.0
"""Time that a hub waits for another to go, in seconds: one that is being restarted may still write its last commit."""
_PAUSE: Final = 0.1
_LOOK_SECONDS: Final = 2.0
"""Time between two looks at the lock in Postgres, in seconds."""
_ANSWER_SECONDS: Final = 10.0
"""Time limit for an answer about the lock, in seconds."""
_SAID_MOST: Final = 200
_APPLICATION: Final = "asman hub, "
HUB_LOCK: Final = 0x61736D
"""First half of the key of the advisory lock; the second is the schema, as one database may have several."""

_TAKE: Final = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))"
_HELD: Final = (
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()"
    " AND classid = $1 AND objid = (hashtext(current_schema())::bigint & 4294967295)::oid"
)
_HOLDER: Final = (
    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'"
    " AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND l.classid = $1 AND l.objid = (hashtext(current_schema())::bigint & 4294967295)::oid"
)


_END_HOLDER: Final = _HOLDER.replace("a.application_name", "pg_terminate_backend(l.pid)")
_POLITE_TRIES: Final = int(WAIT_SECONDS / _PAUSE / 2)
"""Number of tries left from which the holder's session is ended."""


_REMEDY: Final = "use another database; a hub that is frozen or out of reach gives way to one with --take-over"


def _own_name() -> str:
    """Returns the name under which a lock shows this process."""
    return f"process {os.getpid()} on {socket.gethostname()[:40]}"


def _taken(holder: str, what: str, remedy: str) -> Unavailable:
    who = f"another hub ({holder})" if holder else "another hub"
    return Unavailable(f"{who} uses {what}, and two would run the same jobs twice: end it first, or {remedy}")


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Opens a file to lock.

    Raises:
        Unavailable: The file can't be opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unavailable(f"the hub can't write to {path}: {error.strerror}; choose another folder") from error
    try:
        yield file
    finally:
        os.close(file)


@asynccontextmanager
async def _sole_hub_of_file(path: Path, what: str, remedy: str) -> AsyncIterator[None]:
    """Holds a lock on a file while the block runs.

    Args:
        path: The file, which is made and stays.
        what: The thing that the lock stands for, for the error.
        remedy: What else to do than to end the other hub, for the error.

    Raises:
        Unavailable: Another process holds it and does not end in time, or the file can't be written.
    """
    with _opened(path) as file:
        for tries_left in reversed(range(int(WAIT_SECONDS / _PAUSE))):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not tries_left:
                    raise _taken(_printable(os.pread(file, _SAID_MOST, 0)), what, remedy) from None
            except OSError as error:
                # Some network file systems have no locks; a hub there works as it did, without this guard.
                log.warning("a second hub can't be kept away", extra={"file": str(path), "error": error.strerror})
                break
            await asyncio.sleep(_PAUSE)
        with suppress(OSError):
            os.fchmod(file, 0o600)  # whoever may open it may lock it
            os.ftruncate(file, 0)
            os.pwrite(file, _own_name().encode(), 0)
        yield


def _printable(said: bytes) -> str:
    text = said.decode("utf-8", "replace").strip()
    return text if text.isprintable() else ""


@asynccontextmanager
async def sole_hub(
    data_dir: Path, database: str, primary: Primary | None = None, *, take_over: bool = False
) -> AsyncIterator[PostgresLock | None]:
    """Keeps other hubs away from a data folder and a database while the block runs.

    Args:
        data_dir: The folder.
        database: The database's URL.
        primary: Makes the connections to Postgres; None for one of the lock's own.
        take_over: Whether the session of another hub is ended that has Postgres and does not go by itself.

    Yields:
        The lock on the database, to be looked after; None for SQLite, which has a lock that needs none.

    Raises:
        Unavailable: Another hub is there, or the database can't be reached.
        Misconfigured: The database is behind a pooler of connections.
    """
    folder = _sole_hub_of_file(data_dir / "lock", f"the data folder {data_dir}", "choose another with --data-dir")
    async with folder, sole_hub_of_database(database, primary, take_over=take_over) as lock:
        yield lock


@asynccontextmanager
async def sole_hub_of_database(
    database: str, primary: Primary | None = None, *, take_over: bool = False
) -> AsyncIterator[PostgresLock | None]:
    """Keeps other hubs away from a database while the block runs; see `sole_hub`."""
    file = sqlite_file(database)
    async with AsyncExitStack() as held:
        if file is not None:
            beside = file.with_name(f"{file.name}.lock")
            guard = _sole_hub_of_file(beside, f"the database {file}", "choose another with --database-url")
            await held.enter_async_context(guard)
        if is_sqlite(database):
            yield None
            return
        lock = PostgresLock(primary or make_primary(database))
        held.push_async_callback(lock.close)
        await lock.take(take_over=take_over)
        yield lock


class PostgresLock:
    """The lock of a hub on its database in Postgres, held by a connection that does nothing else.

    Args:
        primary: Makes the connection.
    """

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self._connection: Any = None
        primary.moved.append(self._forget)

    async def take(self, *, take_over: bool = False) -> None:
        """Takes the lock.

        Args:
            take_over: Whether to end the session of another hub that does not give it back by itself.

        Raises:
            Unavailable: Another hub holds it and does not end in time, or the database can't be reached.
            Misconfigured: The database is behind a pooler of connections.
        """
        try:
            for tries_left in reversed(range(int(WAIT_SECONDS / _PAUSE))):
                if await self._try():
                    return
                if not tries_left:
                    break
                if take_over and tries_left < _POLITE_TRIES:
                    log.warning("the session of another hub is ended", extra={"hub": await self._holder()})
                    await self._ask(_END_HOLDER)
                await asyncio.sleep(_PAUSE)
            holder = await self._holder()
        except DATABASE_ERRORS as error:
            raise Unavailable(f"the database can't be opened: {reason_of(error)}") from error
        raise _taken(
            holder, "this database", "use another database; one that is frozen or out of reach gives way to --take-over"
        )

    async def keep(self) -> None:
        """Looks after the lock until it is cancelled; takes it again after the connection was lost.

        Raises:
            Unavailable: Another hub has the lock, so this one has to end.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if not (await self._ask(_HELD) or await self._try()):
                    raise _taken(await self._holder(), "this database now", "use another database")
            except DATABASE_ERRORS as error:
                log.debug("the lock on the database can't be looked after", extra={"error": reason_of(error)})
                await self.close()

    async def close(self) -> None:
        """Gives the lock back, if it is held; never waits for a database that does not answer."""
        self._forget()

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _try(self) -> bool:
        return bool(await self._ask(_TAKE))

    async def _connect(self) -> Any:
        connection = self._connection = await first_connection(self._primary)
        # A pooler answers with a process number of its own. It gives the sessions of one client to others, and the
        # locks with them, so nothing that is known of a session would be true.
        if connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()"):
            await self.close()
            raise Misconfigured(
                "the database is behind a pooler of connections, through which a hub can't tell whether it is the only"
                " one: give --database-url the address of the server itself"
            )
        await connection.execute(f"SET application_name = '{_APPLICATION}{_own_name()}'")
        # Where the machine of a hub goes away without a word, its lock goes soon after.
        await connection.execute("SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 1")
        await connection.execute("SET tcp_keepalives_count = 5; SET tcp_user_timeout = '10s'")
        return connection

    async def _holder(self) -> str:
        said = str(await self._ask(_HOLDER) or "")[:_SAID_MOST]
        return _printable(said.removeprefix(_APPLICATION).encode())

    async def _ask(self, statement: str) -> Any:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = await self._connect()
        return await connection.fetchval(statement, HUB_LOCK, timeout=_ANSWER_SECONDS)
