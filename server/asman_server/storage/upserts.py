"""Upserts of many rows that go to the database's driver without conversion.

SQLAlchemy writes the statement once. For each row of an ``executemany`` it would also look up and convert every
parameter by name, which would be the largest single cost of a job in the hub. Rows hold text, integers and bytes, which
the drivers take as they are.

SQLite's driver releases Python's lock for each row of an ``executemany`` and waits to get it back beside a busy event
loop. So with SQLite many rows share one statement; docs/performance.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

AT_ONCE: Final = (64, 32, 16, 8, 4, 2)
"""Numbers of rows that one statement of SQLite may hold."""


def upsert(dialect: Dialect, table: Table, keys: Sequence[str], values: Sequence[str]) -> PostgresInsert | SqliteInsert:
    """Builds an insert that replaces ``values`` of a row with the same ``keys``; without values that row stays."""
    statement = (postgresql.insert if dialect.name == "postgresql" else sqlite.insert)(table)
    if not values:
        return statement.on_conflict_do_nothing(index_elements=list(keys))
    return statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: statement.excluded[name] for name in values}
    )


class Upsert:
    """An upsert of whole rows.

    Args:
        dialect: The dialect of the database.
        table: The table; a row is a tuple of all its columns, in their order.
        keys: Columns that identify a row.
        values: Columns that are replaced in an existing row; without any the existing row stays.

    Attributes:
        text: The driver's statement for one row.
    """

    def __init__(self, dialect: Dialect, table: Table, keys: Sequence[str], values: Sequence[str] = ()) -> None:
        names = [column.name for column in table.columns]
        compiled = upsert(dialect, table, keys, values).compile(dialect=dialect, column_keys=names)
        self.text = str(compiled)
        if list(getattr(compiled, "positiontup", None) or ()) != names:
            raise AssertionError(f"the driver of {dialect.name} expects the columns in another order")
        self._row = f"({', '.join('?' * len(names))})"
        self._many: list[tuple[int, str]] = []
        if dialect.name == "sqlite":
            row = self._row
            if self.text.count(row) != 1:
                raise AssertionError(f"this statement does not take a row of {len(names)}: {self.text}")
            self._many = [(count, self.text.replace(row, ", ".join([row] * count))) for count in AT_ONCE]

    def of(self, values: Sequence[str]) -> str:
        """SQLite's statement for one row, with expressions instead of parameters."""
        return self.text.replace(self._row, f"({', '.join(values)})")

    def rows(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Writes rows in the connection's transaction."""
        at = 0
        for count, text in self._many:
            while len(rows) - at >= count:
                connection.exec_driver_sql(text, tuple(chain.from_iterable(rows[at : at + count])))
                at += count
        if at < len(rows):
            connection.exec_driver_sql(self.text, list(rows[at:]))
