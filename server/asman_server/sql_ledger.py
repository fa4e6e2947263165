"""The ledger in a database, SQLite or Postgres from the same statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Executable, Table, and_, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from asman_shared.states import State

from . import tables
from .commit import Commit
from .database import unavailable
from .sql_blobs import BlobStatements


class SqlLedger:
    """Writes commits, each in one transaction.

    Args:
        engine: The database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

        def upsert(table: Table, keys: Sequence[str], values: Sequence[str]) -> Executable:
            statement = insert(table)
            if not values:
                return statement.on_conflict_do_nothing(index_elements=list(keys))
            return statement.on_conflict_do_update(
                index_elements=list(keys), set_={name: statement.excluded[name] for name in values}
            )

        def drop(table: Table, column: str) -> Executable:
            return delete(table).where(and_(table.c.queue == bindparam("q"), table.c[column] == bindparam("j")))

        self._put_jobs = upsert(tables.jobs, ("queue", "id"), ("number", "state", "finished", "record", "due"))
        self._put_definitions = upsert(tables.definitions, ("id",), ())
        self._put_aliases = upsert(tables.aliases, ("alias",), ())
        self._put_results = upsert(tables.results, ("queue", "id"), ("body",))
        self._put_chunks = upsert(tables.log_chunks, ("queue", "job", "first"), ("last", "size", "body"))
        self._put_webhooks = upsert(tables.webhooks, ("id",), ())
        self._later_webhook = (
            update(tables.webhooks)
            .where(tables.webhooks.c.id == bindparam("i"))
            .values(tries=bindparam("n"), due=bindparam("d"))
        )
        self._drop_webhook = delete(tables.webhooks).where(tables.webhooks.c.id == bindparam("i"))
        self._put_queues = upsert(tables.queues, ("queue",), ("retention", "touched"))
        self._due_anew = (
            update(tables.jobs)
            .where(tables.jobs.c.queue == bindparam("q"), tables.jobs.c.state == State.FINISHED.value)
            .values(due=tables.jobs.c.finished + bindparam("k"))
        )
        self._drop_queue = delete(tables.queues).where(
            tables.queues.c.queue == bindparam("q"),
            ~select(tables.jobs.c.id).where(tables.jobs.c.queue == tables.queues.c.queue).exists(),
        )
        self._put_definition_blobs = upsert(tables.definition_blobs, ("definition", "sha256"), ())
        self._put_result_blobs = upsert(tables.result_blobs, ("queue", "id", "sha256"), ())
        self._blobs = BlobStatements(upsert)
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
        """Writes all of it or nothing; see `asman_server.commit.Ledger`."""
        with unavailable("{}"):
            async with self._engine.begin() as connection:
                await self._write(connection, commit)

    async def _write(self, connection: AsyncConnection, commit: Commit) -> None:
        async def run(statement: Executable, rows: list[dict[str, Any]]) -> None:
            if rows:
                await connection.execute(statement, rows)

        await run(self._drop_queue, [{"q": q} for q in commit.forget_queues])
        gone = [{"q": q, "j": j} for q, j in commit.forget]
        await run(self._drop_job, gone)
        await run(self._drop_result, gone)
        await run(self._drop_result_blobs, [*gone, *({"q": q, "j": j} for q, j, _ in commit.results)])
        await run(self._drop_log, gone)
        await run(self._drop_log, [{"q": q, "j": j} for q, j in commit.clear])
        await run(self._put_definitions, [{"id": key, "body": body} for key, body in commit.definitions])
        await run(self._put_aliases, [{"alias": alias, "id": key} for alias, key in commit.aliases])
        await run(self._put_jobs, [msgspec.structs.asdict(row) for row in commit.jobs])
        await run(self._put_results, [{"queue": q, "id": j, "body": body} for q, j, body in commit.results])
        await run(self._put_definition_blobs, [{"definition": d, "sha256": s} for d, s in commit.definition_blobs])
        await run(self._put_result_blobs, [{"queue": q, "id": j, "sha256": s} for q, j, s in commit.result_blobs])
        await run(self._put_chunks, [msgspec.structs.asdict(chunk) for chunk in commit.chunks])
        await run(self._drop_chunk, [{"q": q, "j": j, "f": f} for q, j, f in commit.drop_chunks])
        await run(self._put_webhooks, [msgspec.structs.asdict(row) for row in commit.webhooks])
        await run(self._later_webhook, [{"i": i, "n": n, "d": d} for i, n, d in commit.webhooks_later])
        await run(self._drop_webhook, [{"i": i} for i in commit.webhooks_done])
        settings = [{"queue": row.queue, "retention": row.retention, "touched": row.touched} for row in commit.queues]
        await run(self._put_queues, settings)
        await run(self._due_anew, [{"q": row.queue, "k": row.kept} for row in commit.queues])
        await self._blobs.write(connection, commit.blobs)
