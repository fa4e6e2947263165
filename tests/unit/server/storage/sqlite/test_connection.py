"""The connection that writes to SQLite: one thing after the other, whole or not at all, and well again after errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from asman_server.storage.database import make_engine
from asman_server.storage.sqlite.connection import SqliteConnection


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[SqliteConnection]:
    engine = make_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    made = SqliteConnection(engine)
    await made.run(lambda: made.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()))
    yield made
    await engine.dispose()


async def numbers(connection: SqliteConnection) -> list[int]:
    found: list[int] = []

    def read(driver: Any) -> None:
        found.extend(row[0] for row in driver.execute("SELECT n FROM t ORDER BY n"))

    await connection.run(lambda: connection.call(read))
    return found


def inserting(*values: int) -> Any:
    def write(connection: Connection) -> None:
        for value in values:
            connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": value})

    return write


async def test_a_transaction_is_written_whole(connection: SqliteConnection) -> None:
    await connection.run(lambda: connection.transact(inserting(1, 2)))
    assert await numbers(connection) == [1, 2]


async def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_is_written(
    connection: SqliteConnection,
) -> None:
    with pytest.raises(IntegrityError):
        await connection.run(lambda: connection.transact(inserting(1, 1)))
    await connection.run(lambda: connection.transact(inserting(3)))
    assert await numbers(connection) == [3]


async def test_a_statement_by_itself_is_durable_at_once(connection: SqliteConnection) -> None:
    await connection.run(lambda: connection.execute("INSERT INTO t VALUES (?)", (7,)))
    other = make_engine(str(connection.engine.url))
    async with other.connect() as reading:
        assert await reading.scalar(text("SELECT n FROM t")) == 7
    await other.dispose()


async def test_a_transaction_that_its_function_left_open_does_not_hold_up_the_next(
    connection: SqliteConnection,
) -> None:
    def breaks(driver: Any) -> None:
        driver.execute("BEGIN")
        driver.execute("INSERT INTO t VALUES (1)")
        raise RuntimeError("it broke")

    with pytest.raises(RuntimeError, match="it broke"):
        await connection.run(lambda: connection.call(breaks))
    await connection.run(lambda: connection.transact(inserting(2)))
    assert await numbers(connection) == [2]


async def test_what_was_asked_for_first_is_done_first(connection: SqliteConnection) -> None:
    order: list[int] = []
    await asyncio.gather(*(connection.run(lambda n=n: order.append(n)) for n in range(20)))  # type: ignore[misc]
    assert order == list(range(20))


async def test_each_commit_is_synced_and_readers_are_not_locked_out(connection: SqliteConnection) -> None:
    found: dict[str, Any] = {}

    def look(driver: Any) -> None:
        for name in ("journal_mode", "synchronous"):
            found[name] = driver.execute(f"PRAGMA {name}").fetchone()[0]

    await connection.run(lambda: connection.call(look))
    assert found == {"journal_mode": "wal", "synchronous": 2}
