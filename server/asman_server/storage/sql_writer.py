"""The statements that write commits into the tables, and the writer that runs them for SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import (
    BindParameter,
    Connection,
    Dialect,
    Executable,
    Exists,
    Table,
    and_,
    bindparam,
    delete,
    select,
    update,
)

from asman_shared.states import State

from . import row_kinds, tables
from .blob_statements import BlobStatements
from .commit import Commit
from .row_kinds import Puts
from .upserts import Upsert, upsert

Step = tuple[Executable, list[dict[str, Any]]]
"""A statement, and the parameters of each time that it runs."""


def of_keys(table: Table, keys: Sequence[str]) -> Executable:
    """Builds a removal of the rows with ``keys``, which are the parameters ``k0``, ``k1`` and so on."""
    return delete(table).where(and_(*(table.c[key] == bindparam(f"k{at}") for at, key in enumerate(keys))))


class Steps:
    """The statements for all of a commit that can't be written in any order, before and after what it puts.

    Args:
        dialect: The dialect of the database.
    """

    def __init__(self, dialect: Dialect) -> None:
        kinds = row_kinds.KINDS
        self._drop_of_job = [of_keys(kind.table, kind.keys[:2]) for kind in kinds if kind.of_job]
        of_queue = [
            table for table in tables.metadata.sorted_tables if "queue" in table.c and table is not tables.uploads
        ]
        self._erase = [
            *(of_keys(table, ("queue",)) for table in of_queue),
            # The next collection of blobs ends them; only their rows tell what of them is in the store.
            update(tables.uploads).where(tables.uploads.c.queue == bindparam("k0")).values(touched=0),
        ]
        chunks = tables.log_chunks.c
        self._trim_log = delete(tables.log_chunks).where(
            chunks.queue == bindparam("k0"), chunks.job == bindparam("k1"), chunks.first < bindparam("k2")
        )
        self._put_queue = upsert(dialect, tables.queues, ("queue",), ("retention", "touched", "paused"))
        self._set_due = (
            update(tables.jobs)
            .where(
                tables.jobs.c.queue == bindparam("q"),
                tables.jobs.c.state == State.FINISHED.value,
                tables.jobs.c.due > 0,  # those that are kept have none
                tables.jobs.c.due != tables.jobs.c.finished + bindparam("k"),  # as after a pause
            )
            .values(due=tables.jobs.c.finished + bindparam("k"))
        )
        self._drop_queue = delete(tables.queues).where(
            tables.queues.c.queue == bindparam("q"),
            ~select(tables.jobs.c.id).where(tables.jobs.c.queue == tables.queues.c.queue).exists(),
        )
        keys = tables.queue_keys
        self._drop_keys = delete(keys).where(
            keys.c.queue == bindparam("q"),
            ~select(tables.jobs.c.id).where(tables.jobs.c.queue == keys.c.queue).exists(),
            ~select(tables.queues.c.queue).where(tables.queues.c.queue == keys.c.queue).exists(),
            ~_used_since(bindparam("b")),
        )
        self._blobs = BlobStatements(lambda table, keys, values: upsert(dialect, table, keys, values))

    def before(self, commit: Commit) -> Iterator[Step]:
        """The removals, in their order, without those that have nothing to do."""
        for erase in self._erase if commit.erase else ():
            yield erase, parameters_of((queue,) for queue in commit.erase)
        if commit.forget_queues:
            yield self._drop_queue, [{"q": queue} for queue in commit.forget_queues]
        if commit.forget_keys:
            yield self._drop_keys, [{"q": queue, "b": before} for queue, before in commit.forget_keys]
        if commit.forget:
            forgotten = parameters_of(commit.forget)
            for drop in self._drop_of_job:
                yield drop, forgotten
        if commit.trim:
            yield self._trim_log, parameters_of(commit.trim)

    def after(self, commit: Commit) -> Iterator[Step]:
        """The statements that see what the commit has put, in their order."""
        if commit.queues:
            rows = [
                {"queue": row.queue, "retention": row.retention, "touched": row.touched, "paused": row.paused}
                for row in commit.queues
            ]
            yield self._put_queue, rows
            yield self._set_due, [{"q": row.queue, "k": row.kept} for row in commit.queues]
        yield from self._blobs.steps(commit.blobs)


class SqlWriter:
    """Writes commits to SQLite, in the transaction of a connection and into the tables themselves.

    Args:
        dialect: The dialect of the database.
    """

    def __init__(self, dialect: Dialect) -> None:
        kinds = row_kinds.KINDS
        self._steps = Steps(dialect)
        self._puts = [(kind, Upsert(dialect, kind.table, kind.keys, kind.values)) for kind in kinds]
        self._drop_parts = [(kind, of_keys(kind.table, kind.group)) for kind in kinds if kind.parts_of is not None]
        self._drop_chunk = of_keys(tables.log_chunks, ("queue", "job", "first"))
        self._put_webhooks = Upsert(dialect, tables.webhooks, ("id",))
        self._later_webhook = (
            update(tables.webhooks)
            .where(tables.webhooks.c.id == bindparam("i"))
            .values(tries=bindparam("n"), due=bindparam("d"))
        )
        self._drop_webhook = of_keys(tables.webhooks, ("id",))
        self._put_keys = Upsert(dialect, tables.queue_keys, ("hash",), ("used",))

    def put(self, connection: Connection, puts: Puts) -> None:
        """Puts rows into their tables."""
        for kind, drop in self._drop_parts:
            _run(connection, drop, parameters_of(puts.get(kind, ())))
        for kind, put in self._puts:
            put.rows(connection, kind.rows(puts))

    def write(self, connection: Connection, commit: Commit) -> None:
        """Writes a commit."""
        for statement, rows in self._steps.before(commit):
            connection.execute(statement, rows)
        self.put(connection, commit.puts)
        _run(connection, self._drop_chunk, parameters_of(commit.drop_chunks))
        self._put_webhooks.rows(connection, [astuple(row) for row in commit.webhooks])
        _run(connection, self._later_webhook, [{"i": i, "n": n, "d": d} for i, n, d in commit.webhooks_later])
        _run(connection, self._drop_webhook, [{"k0": webhook} for webhook in commit.webhooks_done])
        self._put_keys.rows(connection, commit.keys)
        for statement, rows in self._steps.after(commit):
            connection.execute(statement, rows)


def _used_since(before: BindParameter[Any]) -> Exists:
    """Whether any key to the queue of a row was used since a time."""
    other = tables.queue_keys.alias()
    return select(other.c.hash).where(other.c.queue == tables.queue_keys.c.queue, other.c.used >= before).exists()


def _run(connection: Connection, statement: Executable, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)


def parameters_of(keys: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The parameters of `of_keys` for some keys."""
    return [{f"k{at}": value for at, value in enumerate(key)} for key in keys]
