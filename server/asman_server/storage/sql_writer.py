"""The ledger in a database, SQLite or Postgres from the same statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import astuple
from sqlalchemy import Connection, Dialect, Executable, Table, and_, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_shared.states import State

from . import tables
from .blob_statements import BlobStatements
from .commit import Commit
from .database import unavailable
from .transactions import Transactions
from .upserts import Upsert, upsert

_PUTS: Final[dict[Table, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    tables.jobs: (("queue", "id"), ("number", "state", "finished", "record", "due")),
    tables.definitions: (("id",), ()),
    tables.aliases: (("alias",), ()),
    tables.results: (("queue", "id"), ("body",)),
    tables.log_chunks: (("queue", "job", "first"), ("last", "size", "body")),
    tables.definition_blobs: (("definition", "sha256"), ()),
    tables.result_blobs: (("queue", "id", "sha256"), ()),
}
"""What names a row of a table, and what is replaced when it is there."""


def put_of(dialect: Dialect, table: Table) -> Upsert:
    """How rows of one of the tables come to their places."""
    return Upsert(dialect, table, *_PUTS[table])


class SqlWriter:
    """Writes commits, each in one transaction.

    Args:
        engine: The database.

    Attributes:
        transactions: Those that it makes.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.transactions = Transactions(engine)
        dialect = engine.dialect

        def drop(table: Table, column: str) -> Executable:
            return delete(table).where(and_(table.c.queue == bindparam("q"), table.c[column] == bindparam("j")))

        self._put_jobs = put_of(dialect, tables.jobs)
        self._put_definitions = put_of(dialect, tables.definitions)
        self._put_aliases = put_of(dialect, tables.aliases)
        self._put_results = put_of(dialect, tables.results)
        self._put_chunks = put_of(dialect, tables.log_chunks)
        self._put_webhooks = Upsert(dialect, tables.webhooks, ("id",))
        self._later_webhook = (
            update(tables.webhooks)
            .where(tables.webhooks.c.id == bindparam("i"))
            .values(tries=bindparam("n"), due=bindparam("d"))
        )
        self._drop_webhook = delete(tables.webhooks).where(tables.webhooks.c.id == bindparam("i"))
        self._put_queues = Upsert(dialect, tables.queues, ("queue",), ("retention", "touched"))
        self._due_anew = (
            update(tables.jobs)
            .where(tables.jobs.c.queue == bindparam("q"), tables.jobs.c.state == State.FINISHED.value)
            .values(due=tables.jobs.c.finished + bindparam("k"))
        )
        self._drop_queue = delete(tables.queues).where(
            tables.queues.c.queue == bindparam("q"),
            ~select(tables.jobs.c.id).where(tables.jobs.c.queue == tables.queues.c.queue).exists(),
        )
        self._put_definition_blobs = put_of(dialect, tables.definition_blobs)
        self._put_result_blobs = put_of(dialect, tables.result_blobs)
        self._blobs = BlobStatements(lambda table, keys, values: upsert(dialect, table, keys, values))
        self._drop_job = drop(tables.jobs, "id")
        self._drop_result = drop(tables.results, "id")
        self._drop_result_blobs = drop(tables.result_blobs, "id")
        self._drop_log = drop(tables.log_chunks, "job")
        self._drop_chunk = delete(tables.log_chunks).where(
            tables.log_chunks.c.queue == bindparam("q"),
            tables.log_chunks.c.job == bindparam("j"),
            tables.log_chunks.c.first == bindparam("f"),
        )

    async def commit(self, commit: Commit) -> None:
        """Writes all of it or nothing; see `asman_server.storage.commit.CommitWriter`."""
        with unavailable("{}"):
            await self.transactions.run(lambda connection: self.write(connection, commit))

    async def flushed(self, ids: Sequence[str] | None = None) -> None:
        """Returns at once: what was committed is in its tables."""

    async def keep_flushing(self) -> None:
        """Returns at once."""

    async def close(self) -> None:
        """Leaves nothing behind."""

    def write(self, connection: Connection, commit: Commit) -> None:
        """Writes a commit in a connection's transaction."""

        def run(statement: Executable, rows: list[dict[str, Any]]) -> None:
            if rows:
                connection.execute(statement, rows)

        run(self._drop_queue, [{"q": q} for q in commit.forget_queues])
        gone = [{"q": q, "j": j} for q, j in commit.forget]
        run(self._drop_job, gone)
        run(self._drop_result, gone)
        run(self._drop_result_blobs, [*gone, *({"q": q, "j": j} for q, j, _ in commit.results)])
        run(self._drop_log, gone)
        run(self._drop_log, [{"q": q, "j": j} for q, j in commit.clear])
        self._put_definitions.rows(connection, commit.definitions)
        self._put_aliases.rows(connection, commit.aliases)
        self._put_jobs.rows(connection, [astuple(row) for row in commit.jobs])
        self._put_results.rows(connection, commit.results)
        self._put_definition_blobs.rows(connection, commit.definition_blobs)
        self._put_result_blobs.rows(connection, commit.result_blobs)
        self._put_chunks.rows(connection, [astuple(chunk) for chunk in commit.chunks])
        run(self._drop_chunk, [{"q": q, "j": j, "f": f} for q, j, f in commit.drop_chunks])
        self._put_webhooks.rows(connection, [astuple(row) for row in commit.webhooks])
        run(self._later_webhook, [{"i": i, "n": n, "d": d} for i, n, d in commit.webhooks_later])
        run(self._drop_webhook, [{"i": i} for i in commit.webhooks_done])
        self._put_queues.rows(connection, [(row.queue, row.retention, row.touched) for row in commit.queues])
        run(self._due_anew, [{"q": row.queue, "k": row.kept} for row in commit.queues])
        self._blobs.write(connection, commit.blobs)
