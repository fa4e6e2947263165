"""Upserts: rows are written once each, newer values win or stay out, and both drivers get their columns in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, create_engine, select
from sqlalchemy.dialects import sqlite

from asman_server.storage.database import make_engine
from asman_server.storage.upserts import AT_ONCE, Upsert

things = Table(
    "things",
    MetaData(),
    Column("name", String(64), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("made", Integer, nullable=False),
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    things.metadata.create_all(engine)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def there(connection: Connection) -> list[tuple[str, int, int]]:
    return [(row[0], row[1], row[2]) for row in connection.execute(select(things).order_by(things.c.name))]


@pytest.mark.parametrize("count", [0, 1, 2, 3, AT_ONCE[0] - 1, AT_ONCE[0], AT_ONCE[0] + 1, 3 * AT_ONCE[0] + 5])
def test_every_row_is_written_whatever_their_number(connection: Connection, count: int) -> None:
    rows = [(f"n{number:04}", number, -number) for number in range(count)]
    Upsert(connection.dialect, things, ("name",), ("size", "made")).rows(connection, rows)
    assert there(connection) == rows


def test_a_row_that_is_there_gets_the_new_values_and_keeps_the_others(connection: Connection) -> None:
    put = Upsert(connection.dialect, things, ("name",), ("size",))
    put.rows(connection, [("a", 1, 1)])
    put.rows(connection, [("a", 2, 2), ("b", 3, 3)])
    assert there(connection) == [("a", 2, 1), ("b", 3, 3)]


def test_without_values_a_row_that_is_there_stays(connection: Connection) -> None:
    put = Upsert(connection.dialect, things, ("name",))
    put.rows(connection, [("a", 1, 1), ("b", 1, 1)])
    put.rows(connection, [("a", 2, 2), ("c", 2, 2)])
    assert there(connection) == [("a", 1, 1), ("b", 1, 1), ("c", 2, 2)]


def test_expressions_stand_where_the_parameters_were(connection: Connection) -> None:
    put = Upsert(sqlite.dialect(), things, ("name",), ("size",))
    connection.exec_driver_sql(put.of(["'a'", "40 + 2", "7"]))
    assert there(connection) == [("a", 42, 7)]


def test_postgres_gets_one_statement_with_the_columns_in_their_order() -> None:
    text = Upsert(make_engine("postgresql://u@localhost/x").dialect, things, ("name",), ("size",)).text
    assert "(name, size, made)" in text
    assert "ON CONFLICT (name) DO UPDATE SET size = excluded.size" in text
