"""From every schema there was to the newest, on both databases."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import alembic.script
import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, event, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from asman_server.storage.blob_changes import blobs_of_definition, blobs_of_result
from asman_server.storage.database import MIGRATIONS, make_engine, migrate
from asman_server.storage.reader import Store, pack_definition
from asman_server.storage.tables import metadata
from asman_shared.definition import DataRef, Definition
from asman_shared.errors import Unavailable
from asman_shared.messages import OutputFile, Result
from asman_shared.states import State
from devtools.ports import free_port
from tests.support.direct_writer import DirectWriter
from tests.support.rows import commit, job, row, webhook


def revisions() -> list[str]:
    """Every schema there was, the oldest first."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    found = [script.revision for script in alembic.script.ScriptDirectory.from_config(config).walk_revisions()]
    return found[::-1]


def move(connection: Connection, revision: str, *, down: bool = False) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    (alembic.command.downgrade if down else alembic.command.upgrade)(config, revision)


def fill(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Puts rows into every table as it is, and says which."""
    made: dict[str, list[dict[str, Any]]] = {}
    found = MetaData()
    found.reflect(connection)
    for table in found.sorted_tables:
        if table.name != "alembic_version":
            made[table.name] = [{column.name: _value(column, n) for column in table.columns} for n in range(3)]
            connection.execute(table.insert(), made[table.name])
    return made


def _value(column: Column[Any], number: int) -> Any:
    if isinstance(column.type, Integer):
        return number + 2**30
    return f"{column.name}{number}".encode() if isinstance(column.type, LargeBinary) else f"{column.name}{number}"


def contents(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    found = MetaData()
    found.reflect(connection)
    return {
        table.name: [dict(r._mapping) for r in connection.execute(table.select().order_by(*table.primary_key))]
        for table in found.sorted_tables
    }


@pytest.mark.parametrize("revision", revisions())
async def test_every_earlier_schema_is_brought_to_the_newest_with_its_data(empty: AsyncEngine, revision: str) -> None:
    async with empty.begin() as connection:
        await connection.run_sync(lambda c: move(c, revision))
    async with empty.begin() as connection:
        before = await connection.run_sync(fill)
    assert "jobs" in before
    await migrate(empty)
    async with empty.begin() as connection:
        after = await connection.run_sync(contents)
        for name, rows in before.items():
            kept = [{column: r[column] for column in rows[0]} for r in after[name]]
            assert kept == rows
        assert after["alembic_version"] == [{"version_num": revisions()[-1]}]
    await DirectWriter(empty).commit(commit(jobs=[row(job(1))], webhooks=[webhook("w")]))


async def test_what_rows_of_before_name_is_noted_by_the_migration(empty: AsyncEngine) -> None:
    keys = [f"{number:064x}" for number in range(4)]
    definition = Definition(
        image="a",
        inputs={"x": DataRef(keys[0], "key"), "y": DataRef(keys[0], "key"), "z": DataRef("text", "utf8")},
        config_files={"c": DataRef(keys[1], "key"), "d": DataRef("no sha256", "key")},
    )
    outputs = {"o": OutputFile(DataRef(keys[2], "key"), 1, keys[2]), "p": OutputFile(DataRef(keys[3], "url"), 1, "")}
    async with empty.begin() as connection:
        await connection.run_sync(lambda c: move(c, "0003"))
        found = MetaData()
        await connection.run_sync(found.reflect)
        ids = [f"job-{number:04}" for number in range(1203)]
        await connection.execute(
            found.tables["definitions"].insert(), [{"id": i, "body": pack_definition(definition)} for i in ids]
        )
        body = msgspec.msgpack.encode(Result(outputs=outputs))
        await connection.execute(
            found.tables["results"].insert(), [{"queue": q, "id": i, "body": body} for i in ids for q in ("q", "r")]
        )
    await migrate(empty)
    async with empty.begin() as connection:
        after = await connection.run_sync(contents)
    assert {(r["definition"], r["sha256"]) for r in after["definition_blobs"]} == {
        (i, k) for i in ids for k in keys[:2]
    }
    assert {(r["queue"], r["id"], r["sha256"]) for r in after["result_blobs"]} == {
        (q, i, keys[2]) for i in ids for q in ("q", "r")
    }
    assert blobs_of_definition(definition) == keys[:2]
    assert blobs_of_result(Result(outputs=outputs)) == [keys[2]]


async def test_results_of_before_keep_their_place_while_their_job_runs_again(empty: AsyncEngine) -> None:
    def stored(queue: str, number: int, state: State, finished: int) -> dict[str, Any]:
        return row(job(number, state, finished=finished), queue)._asdict()

    body = msgspec.msgpack.encode(Result())
    async with empty.begin() as connection:
        await connection.run_sync(lambda c: move(c, "0007"))
        found = MetaData()
        await connection.run_sync(found.reflect)
        await connection.execute(
            found.tables["jobs"].insert(),
            [
                stored("running", 1, State.RUNNING, 0),
                stored("running", 2, State.RUNNING, 0),
                stored("done", 2, State.FINISHED, 10),
                stored("none", 3, State.RUNNING, 0),
            ],
        )
        await connection.execute(
            found.tables["results"].insert(),
            [{"queue": q, "id": job(n).id, "body": body} for q, n in (("running", 1), ("running", 2), ("done", 2))],
        )
    await migrate(empty)
    writer, store = DirectWriter(empty), Store(empty)
    later = job(1, State.FINISHED, finished=2**45)
    await writer.commit(commit(jobs=[row(later, "stranger")], results=[("stranger", later.id, body)]))
    places = [await store.anywhere(job(number).id) for number in (1, 2, 3)]
    assert [place[0] for place in places if place is not None] == ["running", "done", "none"]
    async with empty.connect() as connection:
        after = await connection.run_sync(contents)
    assert {r["id"] for r in after["first_results"]} == {job(1).id, job(2).id}


async def test_the_migrations_end_in_the_tables(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> Any:
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrations_can_be_undone(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(lambda c: move(c, "base", down=True))
    async with engine.connect() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == ["alembic_version"]
    await migrate(engine)


async def test_a_migration_that_breaks_off_leaves_nothing_behind(empty: AsyncEngine) -> None:
    def break_off(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "CREATE TABLE webhooks" in statement:
            raise TimeoutError("the power is gone")

    event.listen(empty.sync_engine, "before_cursor_execute", break_off)
    with pytest.raises(Unavailable):
        await migrate(empty)
    async with empty.connect() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == []
    event.remove(empty.sync_engine, "before_cursor_execute", break_off)
    await migrate(empty)


async def test_hubs_that_start_together_migrate_one_after_another(url: str) -> None:
    engines = [make_engine(url) for _ in range(4)]
    await asyncio.gather(*(migrate(engine) for engine in engines))
    await DirectWriter(engines[0]).commit(commit(jobs=[row(job(1))]))
    for engine in engines:
        assert len(await Store(engine).page("q", [], None, 5)) == 1
        await engine.dispose()


async def test_a_database_that_can_t_be_opened_is_said_without_its_password(tmp_path: Path) -> None:
    for url in (
        f"postgresql://me:sesame@127.0.0.1:{free_port()}/x",
        f"sqlite:///{tmp_path}/no/such/folder/hub.sqlite",
    ):
        engine = make_engine(url)
        with pytest.raises(Unavailable, match="can't be opened") as caught:
            await migrate(engine)
        assert "sesame" not in caught.value.message
        await engine.dispose()
    # A connection that could not be opened ends its thread by itself, which must not outlive this test's loop.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 10)
