"""Writes commits to SQLite or Postgres with the same statements."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import BindParameter, Connection, Executable, Exists, Table, and_, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.states import State

from . import row_kinds, tables
from .blob_statements import BlobStatements
from .commit import Commit
from .database import writable
from .row_kinds import Puts
from .upserts import Upsert, upsert


class SqlWriter:
    """Writes each commit in one transaction, into the tables themselves.

    Args:
        engine: The database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        dialect = engine.dialect

        def of_keys(table: Table, keys: Sequence[str]) -> Executable:
            return delete(table).where(and_(*(table.c[key] == bindparam(f"k{at}") for at, key in enumerate(keys))))

        kinds = row_kinds.KINDS
        self._puts = [(kind, Upsert(dialect, kind.table, kind.keys, kind.values)) for kind in kinds]
        self._drop_parts = [(kind, of_keys(kind.table, kind.group)) for kind in kinds if kind.parts_of is not None]
        self._drop_of_job = [of_keys(kind.table, kind.keys[:2]) for kind in kinds if kind.of_job]
        self._drop_log = of_keys(tables.log_chunks, ("queue", "job"))
        self._drop_chunk = of_keys(tables.log_chunks, ("queue", "job", "first"))
        self._put_webhooks = Upsert(dialect, tables.webhooks, ("id",))
        self._later_webhook = (
            update(tables.webhooks)
            .where(tables.webhooks.c.id == bindparam("i"))
            .values(tries=bindparam("n"), due=bindparam("d"))
        )
        self._drop_webhook = of_keys(tables.webhooks, ("id",))
        self._put_queues = Upsert(dialect, tables.queues, ("queue",), ("retention", "touched", "paused"))
        self._set_due = (
            update(tables.jobs)
            .where(
                tables.jobs.c.queue == bindparam("q"),
                tables.jobs.c.state == State.FINISHED.value,
                tables.jobs.c.due > 0,  # those that are kept have none
            )
            .values(due=tables.jobs.c.finished + bindparam("k"))
        )
        self._drop_queue = delete(tables.queues).where(
            tables.queues.c.queue == bindparam("q"),
            ~select(tables.jobs.c.id).where(tables.jobs.c.queue == tables.queues.c.queue).exists(),
        )
        keys = tables.queue_keys
        self._put_keys = Upsert(dialect, keys, ("hash",), ("used",))
        self._drop_keys = delete(keys).where(
            keys.c.queue == bindparam("q"),
            ~select(tables.jobs.c.id).where(tables.jobs.c.queue == keys.c.queue).exists(),
            ~select(tables.queues.c.queue).where(tables.queues.c.queue == keys.c.queue).exists(),
            ~_used_since(bindparam("b")),
        )
        self._blobs = BlobStatements(lambda table, keys, values: upsert(dialect, table, keys, values))

    async def commit(self, commit: Commit) -> None:
        """Writes all of a commit or nothing; see `asman_server.storage.commit.CommitWriter`."""
        with writable():
            async with self._engine.begin() as connection:
                await connection.run_sync(self.write, commit)

    async def flushed(self, ids: Sequence[str] | None = None) -> None:
        """Returns at once: committed rows are in their tables."""

    async def keep_flushing(self) -> None:
        """Waits until it is cancelled: there is nothing to flush."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Returns at once: there is nothing to flush."""

    # ------------------------------------------------------------------------------- in a connection's transaction

    def put(self, connection: Connection, puts: Puts) -> None:
        """Puts rows into their tables, in a connection's transaction."""
        for kind, drop in self._drop_parts:
            _run(connection, drop, _keys(puts.get(kind, ())))
        for kind, put in self._puts:
            put.rows(connection, kind.rows(puts))

    def write(self, connection: Connection, commit: Commit) -> None:
        """Writes a commit in a connection's transaction."""
        _run(connection, self._drop_queue, [{"q": queue} for queue in commit.forget_queues])
        _run(connection, self._drop_keys, [{"q": queue, "b": before} for queue, before in commit.forget_keys])
        forgotten = _keys(commit.forget)
        for drop in self._drop_of_job:
            _run(connection, drop, forgotten)
        _run(connection, self._drop_log, _keys(commit.clear))
        self.put(connection, commit.puts)
        _run(connection, self._drop_chunk, _keys(commit.drop_chunks))
        self._put_webhooks.rows(connection, [astuple(row) for row in commit.webhooks])
        _run(connection, self._later_webhook, [{"i": i, "n": n, "d": d} for i, n, d in commit.webhooks_later])
        _run(connection, self._drop_webhook, [{"k0": webhook} for webhook in commit.webhooks_done])
        self._put_queues.rows(
            connection, [(row.queue, row.retention, row.touched, row.paused) for row in commit.queues]
        )
        self._put_keys.rows(connection, commit.keys)
        _run(connection, self._set_due, [{"q": row.queue, "k": row.kept} for row in commit.queues])
        self._blobs.write(connection, commit.blobs)


def _used_since(before: BindParameter[Any]) -> Exists:
    """Whether any key to the queue of a row was used since a time."""
    other = tables.queue_keys.alias()
    return select(other.c.hash).where(other.c.queue == tables.queue_keys.c.queue, other.c.used >= before).exists()


def _run(connection: Connection, statement: Executable, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)


def _keys(keys: Any) -> list[dict[str, Any]]:
    return [{f"k{at}": value for at, value in enumerate(key)} for key in keys]
