"""A ledger for SQLite whose commits are short: what is new goes into one row of a table, and to its own place later.

A commit is durable once it stands in the table ``daybook``, as one row that is simply appended. When much stands there,
each is followed by posting about as much as it brought of what stands there (`write_buffer`), so the work keeps pace:
after one of many rows a section, after each some of few a piece. The next commit waits for that, but not who was told
of the last. What is left when few come is posted between them, in such pieces as well; so a commit of few never waits
for much of it. Who reads from the tables has what it asks for posted first (`flushed`); a hub that was killed posts all
of it when it starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, event, select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Unavailable
from asman_shared.units import KIB, MIB

from ..commit import Commit
from ..database import unavailable
from ..sql_writer import SqlWriter
from ..tables import daybook
from ..upserts import Upsert
from . import flush_statement
from .checkpoints import Checkpoints
from .wal_preallocation import preallocate
from .write_buffer import PAGE, PARTITIONS, VERSION, Entry, WriteBuffer, entry_of, weight_of

log = logging.getLogger("asman.hub.ledger")

LATER: Final = 256 * KIB
"""Bytes that may stand in the daybook before commits post of it."""
ENTRY_BYTES: Final = 2 * MIB
"""Bytes of an entry at most; what is larger goes to its place at once."""
BYTES: Final = 32 * MIB
"""Bytes of all entries at most."""
BATCH_ROWS: Final = 16
"""What is posted at once at least, and between commits at most (`WriteBuffer.batch`): half a millisecond or so."""
BACKLOG_ROWS: Final = 2 * BATCH_ROWS
"""What is owed when twice of that is posted, so that it comes to the end of a section."""
QUIET: Final = 1.0
"""Seconds in which no section was posted, after which all are."""
FLUSH_PAUSE: Final = 0.01
"""Seconds that this pauses when commits came meanwhile: they share the disk with it."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class BufferedWriter:
    """See the module.

    All but the reading of `WriteBuffer.holds` happens in the writer's thread, one thing after the other.

    Args:
        writer: Of the same database.
        engine: That database.

    Attributes:
        transactions: Those that it makes.
    """

    def __init__(self, writer: SqlWriter, engine: AsyncEngine) -> None:
        self._writer = writer
        self.transactions = writer.transactions
        self._buffer = WriteBuffer()
        self._put = Upsert(writer.transactions.engine.dialect, daybook, ("number",), ("body",))
        self._arrived = asyncio.Event()
        self._backlog = 0
        self._checkpoints = Checkpoints(engine, writer.transactions)
        event.listen(writer.transactions.engine, "connect", flush_statement.prepare)

    async def recover(self) -> None:
        """Posts what a hub left that was killed, or when that can't be done now, goes on where it stopped.

        To be called before anything is read or written.

        Raises:
            Unavailable: The database can't be read, or was written by a newer hub.
        """
        with unavailable("the daybook of the database can't be read: {}"):
            await self.transactions.alone(self._read)
            await self.transactions.alone(lambda: self.transactions.driven(preallocate))
        if self._buffer:
            log.info("posting what the last hub left", extra={"bytes": self._buffer.bytes})
            await self.close()

    def _read(self) -> None:
        self.transactions.transact(self._take_in)

    def _take_in(self, connection: Connection) -> None:
        buffer = self._buffer
        query = select(daybook.c.number, daybook.c.body).order_by(daybook.c.number)
        for number, body in connection.execute(query).all():
            try:
                entry = _decode(body)
            except msgspec.MsgspecError as error:
                raise Unavailable(f"the daybook of the database can't be read: {error}") from error
            if entry.v != VERSION:
                raise Unavailable("the database was left by a newer hub that was killed: start that one again")
            buffer.number = number - 1
            buffer.note(entry, len(body))

    async def commit(self, commit: Commit) -> None:
        """Writes all of it or nothing; see `asman_server.storage.commit.CommitWriter`."""
        with unavailable("{}"):
            await self.transactions.alone(lambda: self._commit(commit), self._keep_pace)
        self._arrived.set()
        self._checkpoints.begin()

    def _commit(self, commit: Commit) -> None:
        buffer = self._buffer
        entry = entry_of(commit)
        body = _encode(entry) if entry is not None else b""
        if entry is None or len(body) > ENTRY_BYTES or buffer.bytes + len(body) > BYTES:
            self._flush_all(commit)
            return
        # The same number again when a commit was written although it seemed to fail: what is tried again holds it.
        self.transactions.append(self._put.text, (buffer.number + 1, body))
        self._backlog = self._backlog + weight_of(entry, len(body)) if buffer.bytes > LATER else 0
        buffer.note(entry, len(body))
        self._checkpoints.wrote(2 + len(body) // PAGE)

    def _keep_pace(self) -> None:
        """Posts as much as the last commits brought: the next waits for it, but not who was told of the last.

        When it can't be done now, it is tried again after the next; when too much waits, commits fail.
        """
        backlog = self._backlog
        if backlog < BATCH_ROWS:
            return
        try:
            with unavailable("{}"):
                self._flush_batch(backlog if backlog < BACKLOG_ROWS else 2 * backlog)
            self._backlog = 0
        except Unavailable as error:
            log.info("the daybook can't be posted now", extra={"error": error.message})

    def _flush_all(self, commit: Commit | None = None) -> None:
        """Puts all that waits in its place, and a commit after it."""

        def flush(connection: Connection) -> None:
            for part in self._buffer.all():
                self._writer.write(connection, part)
            if commit is not None:
                self._writer.write(connection, commit)
            connection.execute(delete(daybook))

        self.transactions.transact(flush)
        self._buffer.clear()
        self._backlog = 0

    async def flushed(self, ids: Sequence[str] | None = None) -> None:
        """Returns when all that was committed is in its tables.

        Args:
            ids: Of the jobs, definitions or aliases that matter; None for all there are.

        Raises:
            Unavailable: The database can't be written now.
        """
        if self._buffer and (ids is None or self._buffer.holds(ids)):
            with unavailable("the hub can't write to its database now ({}); try again"):
                await self.transactions.alone(self._flush_all)

    async def keep_flushing(self) -> None:
        """Posts what is left when few or no commits come any more, and makes checkpoints, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._checkpoints.run())
            tasks.create_task(self._flush_when_quiet())

    async def _flush_when_quiet(self) -> None:
        """A piece at a time, so that a commit that comes meanwhile waits for one of them and not for all."""
        buffer = self._buffer
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while buffer:
                rounds = buffer.rounds
                await asyncio.sleep(QUIET)
                if buffer.rounds == rounds:
                    # What was noted before the turn of the first of them has had all its turns when they end.
                    number = buffer.number
                    while buffer and buffer.rounds <= rounds + PARTITIONS and await self.flush_batch():
                        if buffer.number != number:
                            number = buffer.number
                            await asyncio.sleep(FLUSH_PAUSE)

    async def flush_batch(self) -> bool:
        """Posts the next piece of what waits; returns whether that could be done."""
        try:
            with unavailable("{}"):
                await self.transactions.alone(lambda: self._flush_batch(BATCH_ROWS))
        except Unavailable as error:
            log.info("the daybook can't be posted now", extra={"error": error.message})
            return False
        self._checkpoints.begin()
        return True

    def _flush_batch(self, weight: int) -> None:
        buffer = self._buffer
        part = buffer.batch(weight)
        self.transactions.append(flush_statement.TEXT, flush_statement.flush_parameters(part, buffer.newest_obsolete()))
        buffer.flushed()
        rows = len(part.definitions) + len(part.jobs) + len(part.results) + len(part.chunks)
        # In the tables and their indices; rows of a whole section share most of their pages.
        self._checkpoints.wrote(min(rows, 256) + rows // 8)

    async def close(self) -> None:
        """Posts what is left; when that can't be done now, the next hub does it."""
        try:
            await self.flushed()
        except Unavailable as error:
            log.warning("the daybook can't be posted now", extra={"error": error.message})


async def open_writer(engine: AsyncEngine) -> SqlWriter | BufferedWriter:
    """The ledger for a database in its newest schema.

    Postgres writes whole pages seldom enough; there, rows go to their places at once.

    Raises:
        Unavailable: The database can't be used.
    """
    writer = SqlWriter(engine)
    if engine.dialect.name != "sqlite":
        return writer
    flushing = BufferedWriter(writer, engine)
    await flushing.recover()
    return flushing
