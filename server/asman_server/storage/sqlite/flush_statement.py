"""Puts rows of all kinds into their tables with one statement of SQLite.

    Puts -> JSON array of rows, and one run of bytes -> json_each -> temporary view -> its triggers -> the tables

SQLite's driver releases Python's lock for each statement and waits up to 5 ms to get it back beside a busy event loop,
so many statements take far longer than their work. One statement takes the rows apart without the lock. It costs more
processor time, but none of the event loop's; docs/performance.md has the measurements.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.dialects import sqlite

from .. import row_kinds
from ..row_kinds import Puts, RowKind
from ..upserts import Upsert

_encode = msgspec.json.Encoder().encode


class FlushStatement:
    """The statement for all kinds of rows, as the driver takes it.

    A row in JSON is ``[number of its kind, where its body begins, size of its body, other columns ...]``.

    Attributes:
        text: The statement. It is a transaction by itself.
    """

    def __init__(self) -> None:
        self._kinds = row_kinds.KINDS
        most = max(len(kind.table.columns) for kind in self._kinds)
        self._columns = [f"c{at}" for at in range(most)]
        fields = ", ".join(f"json_extract(value, '$[{at}]')" for at in (0, *range(3, 3 + most)))
        self.text = (
            f"INSERT INTO flushing (kind, {', '.join(self._columns)}, body) SELECT {fields}, "  # noqa: S608 - no input
            "substr(?2, json_extract(value, '$[1]'), json_extract(value, '$[2]')) FROM json_each(?1)"
        )

    def prepare(self, driver: Any, _record: Any = None) -> None:
        """Creates the view and its triggers, which last as long as the driver's connection."""
        columns = ", ".join(f"NULL AS {name}" for name in ("kind", *self._columns, "body"))
        driver.execute(f"CREATE TEMP VIEW flushing AS SELECT {columns}")
        writes = [*map(self._writes, self._kinds), "DELETE FROM daybook WHERE number <= new.c0;"]
        for number, write in enumerate(writes):
            driver.execute(
                f"CREATE TEMP TRIGGER flushing_{number} INSTEAD OF INSERT ON flushing "
                f"WHEN new.kind = {number} BEGIN {write} END"
            )

    def _writes(self, kind: RowKind) -> str:
        names = iter(self._columns)
        given = ["new.body" if at == kind.body else f"new.{next(names)}" for at in range(len(kind.table.columns))]
        put = Upsert(sqlite.dialect(), kind.table, kind.keys, kind.values).of(given)
        drops = ""
        for parts in self._kinds:
            if parts.parts_of is kind:
                same = " AND ".join(f"{key} = {value}" for key, value in zip(parts.group, given, strict=False))
                drops += f"DELETE FROM {parts.name} WHERE {same}; "  # noqa: S608 - no input
        return f"{drops}{put};"

    def parameters(self, puts: Puts, obsolete: int) -> tuple[str, bytes]:
        """The parameters of the statement.

        Args:
            puts: The rows.
            obsolete: Number of the newest entry of the write-ahead table that is fully flushed afterwards (0 = none).
        """
        rows: list[tuple[Any, ...]] = []
        bodies: list[bytes] = []
        at = 1
        for number, kind in enumerate(self._kinds):
            place = kind.body
            if place is None:
                rows.extend((number, 1, 0, *row) for row in kind.rows(puts))
                continue
            for row in kind.rows(puts):
                body = row[place]
                rows.append((number, at, len(body), *row[:place], *row[place + 1 :]))
                bodies.append(body)
                at += len(body)
        if obsolete:
            rows.append((len(self._kinds), 1, 0, obsolete))
        return _encode(rows).decode(), b"".join(bodies)
