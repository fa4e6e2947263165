"""The kinds of rows that commits put into tables, each described once.

The batch, the commit, the write buffer, the flush statement and the SQL writer loop over `KINDS`. To add a table, add
its definition to `tables`, a migration, and one entry here. Callers then put rows with `GroupCommitter.put`.

    Puts (batch, commit, write buffer)  ->  rows  ->  upsert, or one row of the write-ahead table and a flush later
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from types import GenericAlias
from typing import Any, Final

from sqlalchemy import LargeBinary, Table

from . import tables

Row = tuple[Any, ...]
"""All columns of a table, in their order."""
RowKey = tuple[Any, ...]
"""The columns that identify a row, or a group of rows that are replaced together."""


class RowKind:
    """A table whose rows are put by commits.

    The primary key identifies a row; its columns come first in the table. At most one column holds bytes.

    Args:
        table: The table.
        about: The key column with the id of the job, definition or alias that a row is about. Reads of that id flush
            the row first.
        replaces: Whether a newer row replaces the stored one. Otherwise the stored one stays.
        weight: The weight that a row adds to a flush; 0 for a row that is small beside the one it belongs to.
        parts_of: The kind that these rows are parts of. A new row of that kind removes all of its older parts. The
            parts of one row are one value in `Puts`: a list of rows, under the key of that row.
        since: The version of the write-ahead entries that holds the kind first. A new kind goes to the end of `KINDS`
            with the next version, so that an older hub refuses entries that it would only read in part.
    """

    def __init__(
        self,
        table: Table,
        *,
        about: str,
        replaces: bool = True,
        weight: int = 1,
        parts_of: RowKind | None = None,
        since: int = 1,
    ) -> None:
        columns = list(table.columns)
        names = [column.name for column in columns]
        self.table = table
        self.name = table.name
        self.keys = tuple(column.name for column in table.primary_key.columns)
        self.values = tuple(name for name in names if name not in self.keys) if replaces else ()
        self.group = self.keys if parts_of is None else parts_of.keys
        self.width = len(self.group)
        self.about = names.index(about)
        self.weight = weight
        self.parts_of = parts_of
        self.since = since
        bodies = [at for at, column in enumerate(columns) if isinstance(column.type, LargeBinary)]
        self.body = bodies[0] if bodies else None
        self.row_type = GenericAlias(tuple, tuple(column.type.python_type for column in columns))
        self.of_job = self.group[0] == "queue" and self.about == 1
        if tuple(names[: len(self.keys)]) != self.keys or self.about >= self.width or len(bodies) > 1:
            raise AssertionError(f"rows of the table {self.name} can't be written by commits")

    def __repr__(self) -> str:
        return f"<rows of {self.name}>"

    def puts(self, rows: Iterable[Row]) -> dict[RowKey, Any]:
        """The rows as a value of `Puts`."""
        width = self.width
        if self.parts_of is None:
            return {row[:width]: row for row in rows}
        groups: dict[RowKey, Any] = {}
        for row in rows:
            groups.setdefault(row[:width], []).append(row)
        return groups

    def rows(self, puts: Puts) -> list[Any]:
        """The rows of this kind in ``puts``, without their groups."""
        found = puts.get(self)
        if not found:
            return []
        return list(found.values() if self.parts_of is None else chain.from_iterable(found.values()))

    def body_size(self, row: Row) -> int:
        """The size of a row's bytes column, in bytes."""
        return 0 if self.body is None else len(row[self.body])


Puts = dict[RowKind, dict[RowKey, Any]]
"""Rows to put, by kind and key. The value is one row, or a list of rows where the kind is ``parts_of`` another."""

DEFINITIONS: Final = RowKind(tables.definitions, about="id", replaces=False)
DEFINITION_BLOBS: Final = RowKind(tables.definition_blobs, about="definition", replaces=False, weight=0)
ALIASES: Final = RowKind(tables.aliases, about="alias", replaces=False)
JOBS: Final = RowKind(tables.jobs, about="id")
RESULTS: Final = RowKind(tables.results, about="id")
RESULT_BLOBS: Final = RowKind(tables.result_blobs, about="id", weight=0, parts_of=RESULTS)
LOG_CHUNKS: Final = RowKind(tables.log_chunks, about="job")
SIGNATURES: Final = RowKind(tables.signatures, about="id", since=2)
FIRST_RESULTS: Final = RowKind(tables.first_results, about="id", replaces=False, weight=0, since=3)
"""`commit.Commit` makes these rows."""
NOTES: Final = RowKind(tables.door_notes, about="id", since=4)
AS_SENT: Final = RowKind(tables.as_sent, about="id", since=5)

KINDS: tuple[RowKind, ...] = (
    DEFINITIONS,
    DEFINITION_BLOBS,
    ALIASES,
    JOBS,
    RESULTS,
    RESULT_BLOBS,
    LOG_CHUNKS,
    SIGNATURES,
    FIRST_RESULTS,
    NOTES,
    AS_SENT,
)
"""All kinds, in the order in which they are written and stand in an entry of the write-ahead table. Parts follow the
kind that they are parts of. Use it as ``row_kinds.KINDS``, so that tests can add a kind."""


def count(puts: Puts) -> int:
    """The number of rows, without those of no weight."""
    return sum(kind.weight * len(rows) for kind, rows in puts.items())


def size(puts: Puts) -> int:
    """The size of all rows' bytes columns, in bytes."""
    return sum(len(row[kind.body]) for kind in puts if kind.body is not None for row in kind.rows(puts))
