"""A ledger for SQLite whose commits are short: what is new goes into one row of a table, and to its own place later.

A commit is durable once it stands in the table ``daybook``, as one row that is simply appended. When much stands there,
each is followed by posting about as much as it brought of what stands there (`daybook`), so the work keeps pace: after
one of many rows a section, after each some of few a piece. The next commit waits for that, but not who was told of the
last. What is left when few come is posted between them, in such pieces as well; so a commit of few never waits for
much of it. Who reads from the tables has what it asks for posted first (`posted`); a hub that was killed posts all of
it when it starts.
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
from ..sql_writer import SqlLedger
from ..tables import daybook
from ..upserts import Put
from . import flush_statement
from .checkpoints import Checkpoints
from .wal_preallocation import make_room
from .write_buffer import PAGE, SECTIONS, VERSION, Daybook, Entry, entry_of, weight_of

log = logging.getLogger("asman.hub.ledger")

LATER: Final = 256 * KIB
"""Bytes that may stand in the daybook before commits post of it."""
ENTRY_BYTES: Final = 2 * MIB
"""Bytes of an entry at most; what is larger goes to its place at once."""
BYTES: Final = 32 * MIB
"""Bytes of all entries at most."""
PIECE: Final = 16
"""What is posted at once at least, and between commits at most (`Daybook.piece`): half a millisecond or so."""
MANY: Final = 2 * PIECE
"""What is owed when twice of that is posted, so that it comes to the end of a section."""
QUIET: Final = 1.0
"""Seconds in which no section was posted, after which all are."""
RESPITE: Final = 0.01
"""Seconds that this pauses when commits came meanwhile: they share the disk with it."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class PostingLedger:
    """See the module. All but the reading of `Daybook.holds` happens in the ledger's thread, one thing after the other.

    Args:
        ledger: Of the same database.
        engine: That database.

    Attributes:
        transactions: Those that it makes.
    """

    def __init__(self, ledger: SqlLedger, engine: AsyncEngine) -> None:
        self._ledger = ledger
        self.transactions = ledger.transactions
        self._daybook = Daybook()
        self._put = Put(ledger.transactions.engine.dialect, daybook, ("number",), ("body",))
        self._noted = asyncio.Event()
        self._owed = 0
        self._checkpoints = Checkpoints(engine, ledger.transactions)
        event.listen(ledger.transactions.engine, "connect", flush_statement.prepare)

    async def recover(self) -> None:
        """Posts what a hub left that was killed, or when that can't be done now, goes on where it stopped.

        To be called before anything is read or written.

        Raises:
            Unavailable: The database can't be read, or was written by a newer hub.
        """
        with unavailable("the daybook of the database can't be read: {}"):
            await self.transactions.alone(self._read)
            await self.transactions.alone(lambda: self.transactions.driven(make_room))
        if self._daybook:
            log.info("posting what the last hub left", extra={"bytes": self._daybook.bytes})
            await self.close()

    def _read(self) -> None:
        self.transactions.transact(self._take_in)

    def _take_in(self, connection: Connection) -> None:
        book = self._daybook
        query = select(daybook.c.number, daybook.c.body).order_by(daybook.c.number)
        for number, body in connection.execute(query).all():
            try:
                entry = _decode(body)
            except msgspec.MsgspecError as error:
                raise Unavailable(f"the daybook of the database can't be read: {error}") from error
            if entry.v != VERSION:
                raise Unavailable("the database was left by a newer hub that was killed: start that one again")
            book.number = number - 1
            book.note(entry, len(body))

    async def commit(self, commit: Commit) -> None:
        """Writes all of it or nothing; see `asman_server.storage.commit.Ledger`."""
        with unavailable("{}"):
            await self.transactions.alone(lambda: self._commit(commit), self._keep_pace)
        self._noted.set()
        self._checkpoints.begin()

    def _commit(self, commit: Commit) -> None:
        book = self._daybook
        entry = entry_of(commit)
        body = _encode(entry) if entry is not None else b""
        if entry is None or len(body) > ENTRY_BYTES or book.bytes + len(body) > BYTES:
            self._post_all(commit)
            return
        # The same number again when a commit was written although it seemed to fail: what is tried again holds it.
        self.transactions.append(self._put.text, (book.number + 1, body))
        self._owed = self._owed + weight_of(entry, len(body)) if book.bytes > LATER else 0
        book.note(entry, len(body))
        self._checkpoints.wrote(2 + len(body) // PAGE)

    def _keep_pace(self) -> None:
        """Posts as much as the last commits brought: the next waits for it, but not who was told of the last.

        When it can't be done now, it is tried again after the next; when too much waits, commits fail.
        """
        owed = self._owed
        if owed < PIECE:
            return
        try:
            with unavailable("{}"):
                self._post_piece(owed if owed < MANY else 2 * owed)
            self._owed = 0
        except Unavailable as error:
            log.info("the daybook can't be posted now", extra={"error": error.message})

    def _post_all(self, commit: Commit | None = None) -> None:
        """Puts all that waits in its place, and a commit after it."""

        def post(connection: Connection) -> None:
            for part in self._daybook.all():
                self._ledger.write(connection, part)
            if commit is not None:
                self._ledger.write(connection, commit)
            connection.execute(delete(daybook))

        self.transactions.transact(post)
        self._daybook.clear()
        self._owed = 0

    async def posted(self, ids: Sequence[str] | None = None) -> None:
        """Returns when all that was committed is in its tables.

        Args:
            ids: Of the jobs, definitions or aliases that matter; None for all there are.

        Raises:
            Unavailable: The database can't be written now.
        """
        if self._daybook and (ids is None or self._daybook.holds(ids)):
            with unavailable("the hub can't write to its database now ({}); try again"):
                await self.transactions.alone(self._post_all)

    async def keep_posting(self) -> None:
        """Posts what is left when few or no commits come any more, and makes checkpoints, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._checkpoints.run())
            tasks.create_task(self._post_when_quiet())

    async def _post_when_quiet(self) -> None:
        """A piece at a time, so that a commit that comes meanwhile waits for one of them and not for all."""
        book = self._daybook
        while True:
            await self._noted.wait()
            self._noted.clear()
            while book:
                turns = book.turns
                await asyncio.sleep(QUIET)
                if book.turns == turns:
                    # What was noted before the turn of the first of them has had all its turns when they end.
                    number = book.number
                    while book and book.turns <= turns + SECTIONS and await self.post_piece():
                        if book.number != number:
                            number = book.number
                            await asyncio.sleep(RESPITE)

    async def post_piece(self) -> bool:
        """Posts the next piece of what waits; returns whether that could be done."""
        try:
            with unavailable("{}"):
                await self.transactions.alone(lambda: self._post_piece(PIECE))
        except Unavailable as error:
            log.info("the daybook can't be posted now", extra={"error": error.message})
            return False
        self._checkpoints.begin()
        return True

    def _post_piece(self, weight: int) -> None:
        book = self._daybook
        part = book.piece(weight)
        self.transactions.append(flush_statement.TEXT, flush_statement.placed(part, book.outdated()))
        book.posted()
        rows = len(part.definitions) + len(part.jobs) + len(part.results) + len(part.chunks)
        # In the tables and their indices; rows of a whole section share most of their pages.
        self._checkpoints.wrote(min(rows, 256) + rows // 8)

    async def close(self) -> None:
        """Posts what is left; when that can't be done now, the next hub does it."""
        try:
            await self.posted()
        except Unavailable as error:
            log.warning("the daybook can't be posted now", extra={"error": error.message})


async def open_ledger(engine: AsyncEngine) -> SqlLedger | PostingLedger:
    """The ledger for a database in its newest schema.

    Postgres writes whole pages seldom enough; there, rows go to their places at once.

    Raises:
        Unavailable: The database can't be used.
    """
    ledger = SqlLedger(engine)
    if engine.dialect.name != "sqlite":
        return ledger
    posting = PostingLedger(ledger, engine)
    await posting.recover()
    return posting
