"""A writer for SQLite whose commits are short: each appends one row, and its rows reach their tables later.

A commit is durable once it stands in the table ``daybook`` as one entry. Once the buffer exceeds `LATER` bytes, every
commit flushes about as many rows as it added: after a commit of many rows a partition, after several of few rows a
batch. The next commit waits for that flush, but the answers to the last one do not. When commits become rare, the rest
is flushed between them in small batches. A read flushes the rows that it asks for first (`flushed`). A hub flushes
everything at its start that a killed hub left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, event, select
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.errors import Unavailable
from asman_shared.units import KIB, MIB

from .. import row_kinds
from ..commit import Commit
from ..database import unavailable, writable
from ..sql_writer import SqlWriter
from ..tables import daybook
from ..upserts import Upsert
from .checkpoints import Checkpoints
from .connection import SqliteConnection
from .flush_statement import FlushStatement
from .wal_preallocation import preallocate
from .write_buffer import PAGE, PARTITIONS, WriteBuffer, bufferable, decode_entry, encode_entry, weight_of

log = logging.getLogger("asman.hub.ledger")

LATER: Final = 256 * KIB
"""Size of the buffer from which commits flush a part of it, in bytes."""
ENTRY_BYTES: Final = 2 * MIB
"""Largest size of an entry, in bytes; a larger commit goes to the tables at once."""
BYTES: Final = 32 * MIB
"""Largest size of all entries, in bytes."""
BATCH_ROWS: Final = 16
"""Weight of the smallest flush after a commit, and of each flush between commits (`WriteBuffer.batch`)."""
BACKLOG_ROWS: Final = 2 * BATCH_ROWS
"""Backlog (weight) from which a flush does double work, so that partitions get finished."""
QUIET: Final = 1.0
"""Time without any flush after which all partitions are flushed, in seconds."""
FLUSH_PAUSE: Final = 0.01
"""Pause between background flushes while commits are arriving, in seconds."""


class BufferedWriter:
    """Appends commits to the write-ahead table and flushes them to their tables.

    Everything but `WriteBuffer.holds` happens in the connection's thread, one thing after the other.

    Args:
        writer: The writer of the same database that writes to the tables.
        engine: The database.

    Attributes:
        connection: The connection that writes.
    """

    def __init__(self, writer: SqlWriter, engine: AsyncEngine) -> None:
        self._writer = writer
        self.connection = SqliteConnection(engine)
        self._buffer = WriteBuffer()
        self._flush = FlushStatement()
        self._put = Upsert(self.connection.engine.dialect, daybook, ("number",), ("body",))
        self._added = asyncio.Event()
        self._backlog = 0
        self._checkpoints = Checkpoints(engine, self.connection)
        event.listen(self.connection.engine, "connect", self._flush.prepare)

    async def recover(self) -> None:
        """Flushes the rows that a killed hub left. If that fails, the rows stay buffered and the hub continues.

        It is called before anything is read or written.

        Raises:
            Unavailable: The database can't be read, or was written by a newer hub.
        """
        with unavailable("the write buffer of the database can't be read: {}"):
            await self.connection.run(self._recover)
        if self._buffer:
            log.info("flushing the write buffer that the last hub left", extra={"bytes": self._buffer.bytes})
            await self.close()

    def _recover(self) -> None:
        self.connection.transact(self._load)
        self.connection.call(preallocate)

    def _load(self, connection: Connection) -> None:
        query = select(daybook.c.number, daybook.c.body).order_by(daybook.c.number)
        for number, body in connection.execute(query).all():
            self._buffer.number = number - 1
            self._buffer.note(decode_entry(body), len(body))

    # --------------------------------------------------------------------------------------------------- commits

    async def commit(self, commit: Commit) -> None:
        """Writes all of a commit or nothing; see `asman_server.storage.commit.CommitWriter`."""
        with writable():
            await self.connection.run(lambda: self._commit(commit), self._keep_pace)
        self._added.set()
        self._checkpoints.begin()

    def _commit(self, commit: Commit) -> None:
        buffer = self._buffer
        body = encode_entry(commit.puts) if bufferable(commit) else b""
        if not body or len(body) > ENTRY_BYTES or buffer.bytes + len(body) > BYTES:
            self._flush_all(commit)
            return
        # A commit that was written although it seemed to fail is retried under the same number, so it is replaced.
        self.connection.execute(self._put.text, (buffer.number + 1, body))
        self._backlog = self._backlog + weight_of(commit.puts, len(body)) if buffer.bytes > LATER else 0
        buffer.note(commit.puts, len(body))
        self._checkpoints.wrote(2 + len(body) // PAGE)

    def _keep_pace(self) -> None:
        """Flushes as much as the last commits added.

        If that fails, the next commit tries again. Once the buffer is full, commits fail.
        """
        backlog = self._backlog
        if backlog < BATCH_ROWS:
            return
        try:
            with unavailable("{}"):
                self._flush_batch(backlog if backlog < BACKLOG_ROWS else 2 * backlog)
            self._backlog = 0
        except Unavailable as error:
            log.info("the write buffer can't be flushed now", extra={"error": error.message})

    # --------------------------------------------------------------------------------------------------- flushes

    def _flush_all(self, commit: Commit | None = None) -> None:
        """Writes all buffered rows to their tables, and a commit after them."""

        def write(connection: Connection) -> None:
            with unavailable("the write buffer can't be flushed: {}"):  # which is no fault of the commit
                for puts in self._buffer.all():
                    self._writer.put(connection, puts)
            if commit is not None:
                self._writer.write(connection, commit)
            connection.execute(delete(daybook))

        self.connection.transact(write)
        self._buffer.clear()
        self._backlog = 0

    async def flushed(self, ids: Sequence[str] | None = None) -> None:
        """Returns when committed rows are in their tables.

        Args:
            ids: Ids of jobs, definitions or aliases whose rows matter; None for all rows.

        Raises:
            Unavailable: The database can't be written now.
        """
        if self._buffer and (ids is None or self._buffer.holds(ids)):
            with unavailable("the hub can't write to its database now ({}); try again"):
                await self.connection.run(self._flush_all)

    async def keep_flushing(self) -> None:
        """Flushes the rest when commits become rare, and makes checkpoints, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._checkpoints.run())
            tasks.create_task(self._flush_when_quiet())

    async def _flush_when_quiet(self) -> None:
        """Flushes a batch at a time, so that a commit waits for one batch at most."""
        buffer = self._buffer
        while True:
            await self._added.wait()
            self._added.clear()
            while buffer:
                rounds = buffer.rounds
                await asyncio.sleep(QUIET)
                if buffer.rounds == rounds:
                    # Entries that were added before the first of these turns are fully flushed after the last.
                    number = buffer.number
                    while buffer and buffer.rounds <= rounds + PARTITIONS and await self.flush_batch():
                        if buffer.number != number:
                            number = buffer.number
                            await asyncio.sleep(FLUSH_PAUSE)

    async def flush_batch(self) -> bool:
        """Flushes the next batch; returns whether that succeeded."""
        try:
            with unavailable("{}"):
                await self.connection.run(lambda: self._flush_batch(BATCH_ROWS))
        except Unavailable as error:
            log.info("the write buffer can't be flushed now", extra={"error": error.message})
            return False
        self._checkpoints.begin()
        return True

    def _flush_batch(self, weight: int) -> None:
        buffer = self._buffer
        puts = buffer.batch(weight)
        self.connection.execute(self._flush.text, self._flush.parameters(puts, buffer.newest_obsolete()))
        buffer.flushed()
        rows = row_kinds.count(puts)
        # An estimate of pages in tables and indices: rows of a whole partition share most of their pages.
        self._checkpoints.wrote(min(rows, 256) + rows // 8)

    async def close(self) -> None:
        """Flushes the rest. If that fails, the next hub does it."""
        try:
            await self.flushed()
        except Unavailable as error:
            log.warning("the write buffer can't be flushed now", extra={"error": error.message})


async def open_buffered(engine: AsyncEngine) -> BufferedWriter:
    """Opens the writer for a file of SQLite in its newest schema.

    Raises:
        Unavailable: The database can't be used.
    """
    writer = BufferedWriter(SqlWriter(engine.dialect), engine)
    await writer.recover()
    return writer
