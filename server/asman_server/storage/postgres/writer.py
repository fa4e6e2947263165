"""A writer for Postgres: one connection outside any pool, one round trip for a commit, no doubt about what was written.

A commit that only puts rows is one statement (`put_statement`). Any other is a transaction of several. After an error
that is not the server's verdict on a statement, nobody knows whether the commit was written. Then the connection is
thrown away, its session is ended in the database by the next one, and the commit is written again, which does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
from sqlalchemy import Dialect, Executable, Insert, event
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Unavailable

from ..commit import Commit, OutcomeUnknown, ShardsLost, Unwritable
from ..database import DATABASE_ERRORS, reason_of, refuses
from ..primary import Primary
from ..sql_writer import Step, Steps
from .put_statement import PutStatement
from .shards import GUARD, GUARDS, Fence, lost

log = logging.getLogger("asman.hub.database")

DOUBT_SECONDS: Final = 3.0
"""Time after which a commit is asked about over another connection, in seconds."""
GIVE_UP_SECONDS: Final = 10.0
"""Time without any answer about such a commit after which its connection is given up, in seconds."""
IDLE_LOOKS: Final = 2
"""Number of looks that find the session of a running commit idle before its connection is given up."""
LOOK_SECONDS: Final = 1.0
"""Time between two such looks, in seconds."""
END_SECONDS: Final = 5.0
"""Time limit for the end of an older session, in seconds."""
END_PAUSE: Final = 0.02
"""Pause between two tries to end it, in seconds."""
CLOSE_SECONDS: Final = 2.0
"""Time limit for a polite end of the connection, in seconds."""
IDLE_SECONDS: Final = 60
"""Time after which Postgres ends a transaction in which nothing happens, in seconds."""
SILENT_SECONDS: Final = 30
"""Time after which Postgres ends a session whose client takes no data, in seconds."""

_SESSION: Final = (
    "SELECT set_config('application_name', $1, false), set_config('jit', 'off', false),"
    " set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),"
    " set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false),"
    " set_config('idle_in_transaction_session_timeout', $2, false), set_config('tcp_user_timeout', $3, false),"
    " set_config('synchronous_commit',"
    " CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END,"
    " false)"
)
_STARTED: Final = "SELECT backend_start FROM pg_stat_activity WHERE pid = $1"
_DOING: Final = "SELECT state FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"
_END: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"


class PostgresWriter:
    """Writes commits to Postgres.

    Args:
        engine: An engine of the database. When it is disposed of, the connection is closed.
        primary: Makes the connection.
        fence: The shards that the hub owns; None for a tool that is alone by other means.
    """

    def __init__(self, engine: AsyncEngine, primary: Primary, fence: Fence | None = None) -> None:
        self._primary = primary
        self._dialect: Dialect = engine.dialect
        self._fence = fence
        self._put = PutStatement()
        self._guarded = PutStatement(GUARD, GUARDS)
        self._steps = Steps(engine.dialect)
        self._compiled: dict[Executable, tuple[str, list[tuple[str, Any]]]] = {}
        self._connection: Any = None
        self._session: tuple[int, Any] | None = None
        self._asking: asyncio.Task[None] | None = None
        primary.moved.append(self._drop)
        event.listen(engine.sync_engine, "engine_disposed", lambda _engine: self._drop())

    # ------------------------------------------------------------------------------------------------- commits

    async def commit(self, commit: Commit) -> None:
        """Writes all of a commit or nothing; see `asman_server.storage.commit.CommitWriter`."""
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = await self._connect()
        doubt = asyncio.get_running_loop().call_later(DOUBT_SECONDS, self._doubt, connection)
        try:
            if commit.in_any_order:
                await self._write_at_once(connection, commit)
            else:
                await self._write_in_steps(connection, commit)
        except ShardsLost:
            self._drop(connection)
            raise
        except Exception as error:
            if not refuses(error):
                self._drop(connection)
                raise _failure(error) from error
            if not commit.in_any_order:  # a transaction is open
                self._drop(connection)
            raise Unwritable(reason_of(error)) from error
        except BaseException:
            self._drop(connection)
            raise
        finally:
            doubt.cancel()
            if self._asking is not None:
                self._asking.cancel()

    async def _write_at_once(self, connection: Any, commit: Commit) -> None:
        if self._fence is None:
            await self._write_puts(connection, commit)
            return
        text, parameters = self._guarded.of(commit)
        if not await connection.fetchval(text, *self._fence.of(commit), *parameters):
            raise lost()

    async def _write_puts(self, connection: Any, commit: Commit) -> None:
        text, parameters = self._put.of(commit)
        await connection.fetchval(text, *parameters)

    async def _write_in_steps(self, connection: Any, commit: Commit) -> None:
        await connection.execute("BEGIN")
        if self._fence is not None and not await connection.fetchval(GUARD, *self._fence.of(commit)):
            raise lost()
        for step in self._steps.before(commit):
            await self._run(connection, step)
        await self._write_puts(connection, commit)
        for step in self._steps.after(commit):
            await self._run(connection, step)
        await connection.execute("COMMIT")

    async def _run(self, connection: Any, step: Step) -> None:
        """Runs one statement for all its parameters, in one round trip."""
        statement: Any
        statement, rows = step
        compiled = self._compiled.get(statement)
        if compiled is None:
            keys = list(rows[0]) if isinstance(statement, Insert) else None
            made = statement.compile(dialect=self._dialect, column_keys=keys)
            constants = [(name, made.params[name]) for name in made.positiontup or ()]
            compiled = self._compiled[statement] = str(made), constants
        text, names = compiled
        await connection.executemany(text, [[row.get(name, constant) for name, constant in names] for row in rows])

    # ---------------------------------------------------------------------------------------------- the connection

    async def _connect(self) -> Any:
        """Opens a connection, once no session of an older one can write any more.

        Raises:
            Unavailable: The database can't be reached.
        """
        try:
            connection = await self._primary.connect(max_cached_statement_lifetime=0)
        except DATABASE_ERRORS as error:
            raise Unavailable(reason_of(error)) from error
        try:
            await connection.fetchval(_SESSION, own_name(), f"{IDLE_SECONDS}s", f"{SILENT_SECONDS}s")
            if self._session is not None:
                await _ended(connection, *self._session)
            pid = connection.get_server_pid()
            self._session = pid, await connection.fetchval(_STARTED, pid)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, Exception):
                raise Unavailable(reason_of(error)) from error
            raise
        self._connection = connection
        return connection

    def _drop(self, connection: Any = None) -> None:
        """Throws the connection away, or one that was the connection; the next commit gets another."""
        if connection is None:
            connection = self._connection
        if connection is self._connection:
            self._connection = None
        if connection is not None:
            connection.terminate()

    def _doubt(self, connection: Any) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_about(connection))

    async def _ask_about(self, connection: Any) -> None:
        """Throws a connection away whose commit takes long without the database working on it.

        An answer may be lost on a way that only looks open. A commit that waits for a lock, for a disk or for a standby
        is left alone until the time limit of statements.
        """
        pid, started = self._session or (0, None)
        loop = asyncio.get_running_loop()
        heard, idle = loop.time(), 0
        other: Any = None
        try:
            while connection is self._connection and not connection.is_closed():
                try:
                    async with asyncio.timeout(DOUBT_SECONDS):
                        if other is None:
                            other = await self._primary.connect()
                        doing = await other.fetchval(_DOING, pid, started)
                except DATABASE_ERRORS:
                    if other is not None:
                        other.terminate()
                    other = None
                else:
                    heard = loop.time()
                    idle = 0 if doing == "active" else idle + 1
                if idle >= IDLE_LOOKS or loop.time() - heard > GIVE_UP_SECONDS:
                    log.warning("a commit got no answer from the database; its connection is given up")
                    self._drop(connection)
                    return
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if other is not None:
                other.terminate()

    async def flushed(self, ids: Sequence[str] | None = None) -> None:
        """Returns at once: committed rows are in their tables."""

    async def keep_flushing(self) -> None:
        """Waits until it is cancelled: there is nothing to flush."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Ends the session, so that nothing of it is left."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.wait([asking])
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close(timeout=CLOSE_SECONDS)


async def _ended(connection: Any, pid: int, started: Any) -> None:
    """Ends an older session, and returns when it is gone: ending it takes as long as what it does can't be interrupted.

    Raises:
        Unavailable: It does not end.
    """
    for _ in range(int(END_SECONDS / END_PAUSE)):
        if await connection.fetchval(_END, pid, started) is None:
            return
        await asyncio.sleep(END_PAUSE)
    raise Unavailable("the session of an older connection to the database does not end")


def _failure(error: Exception) -> Unavailable:
    """The error for a commit that failed for another reason than its contents.

    The server's own word is that nothing was written, unless it is that the session ends: a commit that waits for a
    standby counts although its session is ended. Everything else, of any class, says nothing.
    """
    state = str(getattr(error, "sqlstate", None) or "")
    told = isinstance(error, asyncpg.PostgresError) and bool(state) and state[:2] not in ("08", "57")
    return (Unavailable if told else OutcomeUnknown)(reason_of(error))


def own_name() -> str:
    """Returns the name under which the database shows this process."""
    return f"asman hub, process {os.getpid()} on {socket.gethostname()[:40]}"
