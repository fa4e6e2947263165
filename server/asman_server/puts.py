"""Many rows into a table, handed to the database's driver as they are.

SQLAlchemy writes the statement, once; for each row of an ``executemany`` it would also look up and convert every
parameter by name, which cost more than all else that a job costs in the hub (17 of 116 microseconds). What goes in here
is text, whole numbers and bytes, which the drivers take as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.ext.asyncio import AsyncConnection


def upsert(dialect: Dialect, table: Table, keys: Sequence[str], values: Sequence[str]) -> PostgresInsert | SqliteInsert:
    """An insert that replaces ``values`` of a row with the same ``keys``; without values it leaves that row."""
    statement = (postgresql.insert if dialect.name == "postgresql" else sqlite.insert)(table)
    if not values:
        return statement.on_conflict_do_nothing(index_elements=list(keys))
    return statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: statement.excluded[name] for name in values}
    )


class Put:
    """An upsert of whole rows.

    Args:
        dialect: The database's.
        table: Where they go; a row is a tuple of all its columns, in their order.
        keys: Columns that name a row.
        values: Columns that are replaced when the row is there; without any it is left as it is.
    """

    def __init__(self, dialect: Dialect, table: Table, keys: Sequence[str], values: Sequence[str] = ()) -> None:
        names = [column.name for column in table.columns]
        compiled = upsert(dialect, table, keys, values).compile(dialect=dialect, column_keys=names)
        self._text = str(compiled)
        if list(getattr(compiled, "positiontup", None) or ()) != names:
            raise AssertionError(f"the driver of {dialect.name} takes columns in another order than they are in")

    async def rows(self, connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Writes rows in the connection's transaction."""
        if rows:
            await connection.exec_driver_sql(self._text, list(rows))
