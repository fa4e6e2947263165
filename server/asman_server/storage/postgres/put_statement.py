"""Writes all that a commit puts with one statement of Postgres, which is a transaction by itself.

    rows of a kind -> one array for each column -> unnest -> insert ... on conflict

A statement for each row costs the server more than the row, and a round trip for each table costs the event loop a
turn. The parts of the statement all see the tables as they were before it. So no two parts touch the same row: what
a commit changes twice is put together here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import astuple
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table

from .. import row_kinds, tables
from ..commit import Commit
from ..row_kinds import LOG_CHUNKS, RowKind

Rows = Sequence[tuple[Any, ...]]

MOST_TEXTS: Final = 256
"""Largest number of statements that are kept, one for each set of parts that commits had."""

_ARRAYS: Final = {BigInteger: "bigint[]", Integer: "integer[]", LargeBinary: "bytea[]", String: "text[]"}
"""The type of an array of a column's values."""


class _Part(NamedTuple):
    """A part of the statement.

    Attributes:
        arrays: The types of its parameters, an array for each column of its rows.
        text: Its words, where ``{rows}`` stands for the rows, with the columns ``c0``, ``c1`` and so on.
        rows: Returns the rows of a commit; without any the part is left out.
    """

    arrays: tuple[str, ...]
    text: str
    rows: Callable[[Commit], Rows]


class PutStatement:
    """The statement, in as many forms as there are sets of parts.

    Args:
        guard: A query that returns one row with ``whole``, without which nothing is written.
        guards: Number of the guard's parameters, which precede all others.
    """

    def __init__(self, guard: str = "", guards: int = 0) -> None:
        self._guard = guard
        self._guards = guards
        self._parts = list(_parts())
        self._texts: dict[tuple[int, ...], str] = {}

    def of(self, commit: Commit) -> tuple[str, list[Any]]:
        """The words of the statement for a commit, and its parameters without those of the guard.

        The statement returns whether it has written.
        """
        found: list[int] = []
        parameters: list[Any] = []
        for number, part in enumerate(self._parts):
            rows = part.rows(commit)
            if rows:
                found.append(number)
                parameters.extend(zip(*rows, strict=True))
        key = tuple(found)
        text = self._texts.get(key)
        if text is None:
            if len(self._texts) >= MOST_TEXTS:
                self._texts.clear()
            text = self._texts[key] = self._text(key)
        return text, parameters

    def _text(self, numbers: Iterable[int]) -> str:
        at = self._guards
        written = [f"guard AS MATERIALIZED ({self._guard})"] if self._guard else []
        for number in numbers:
            part = self._parts[number]
            names = [f"c{n}" for n in range(len(part.arrays))]
            given = ", ".join(f"${at + n + 1}::{array}" for n, array in enumerate(part.arrays))
            at += len(names)
            rows = f"SELECT * FROM unnest({given}) AS given({', '.join(names)})"  # noqa: S608 - no input
            if self._guard:
                rows += " WHERE (SELECT whole FROM guard)"
            written.append(f"p{number} AS ({part.text.replace('{rows}', rows)})")
        last = "SELECT whole FROM guard" if self._guard else "SELECT true"
        return f"WITH {', '.join(written)} {last}" if written else last


def _parts() -> Iterable[_Part]:
    for kind in row_kinds.KINDS:
        if kind.parts_of is not None:
            yield _none_of(kind)
            yield _none_but(kind)
        yield _put(kind.table, kind.keys, kind.values, _rows_of(kind))
    webhooks, keys = tables.webhooks, tables.queue_keys
    yield _delete(LOG_CHUNKS.table, LOG_CHUNKS.keys, lambda commit: list(dict.fromkeys(commit.drop_chunks)))
    yield _put(webhooks, ("id",), (), _new_webhooks)
    yield _Part(
        ("text[]", "integer[]", "bigint[]"),
        f"UPDATE {webhooks.name} AS t SET tries = r.c1, due = r.c2 "  # noqa: S608 - no input
        "FROM ({rows}) AS r WHERE t.id = r.c0",
        _later_webhooks,
    )
    yield _delete(webhooks, ("id",), lambda commit: [(each,) for each in commit.webhooks_done])
    yield _put(keys, ("hash",), ("used",), lambda commit: list({row.hash: row for row in commit.keys}.values()))


# ------------------------------------------------------------------------------------------------- rows of a commit


def _rows_of(kind: RowKind) -> Callable[[Commit], Rows]:
    """The rows of a kind; of lines those that the same commit does not drop."""
    if kind is not LOG_CHUNKS:
        return lambda commit: kind.rows(commit.puts)

    def kept(commit: Commit) -> Rows:
        rows = kind.rows(commit.puts)
        dropped = set(commit.drop_chunks)
        return [row for row in rows if row[: kind.width] not in dropped] if dropped else rows

    return kept


def _new_webhooks(commit: Commit) -> Rows:
    """New webhooks, as they are after the other changes of their commit."""
    rows = list({row.id: astuple(row) for row in commit.webhooks}.values())
    if not rows or not (commit.webhooks_done or commit.webhooks_later):
        return rows
    later = {key: (tries, due) for key, tries, due in commit.webhooks_later}
    done = set(commit.webhooks_done)
    return [(*row[:-2], *later.get(row[0], row[-2:])) for row in rows if row[0] not in done]


def _later_webhooks(commit: Commit) -> Rows:
    done = set(commit.webhooks_done)
    return [row for row in commit.webhooks_later if row[0] not in done]


# ------------------------------------------------------------------------------------------------- words of the parts


def _put(table: Table, keys: Sequence[str], values: Sequence[str], rows: Callable[[Commit], Rows]) -> _Part:
    names = ", ".join(column.name for column in table.columns)
    newer = ", ".join(f"{name} = excluded.{name}" for name in values)
    action = f"UPDATE SET {newer}" if newer else "NOTHING"
    text = f"INSERT INTO {table.name} ({names}) {{rows}} ON CONFLICT ({', '.join(keys)}) DO {action}"
    return _Part(tuple(map(_array_of, table.columns)), text, rows)


def _delete(table: Table, keys: Sequence[str], rows: Callable[[Commit], Rows]) -> _Part:
    text = f"DELETE FROM {table.name} AS t USING ({{rows}}) AS r WHERE {_same(keys, 'r')}"  # noqa: S608 - no input
    return _Part(tuple(_array_of(table.c[key]) for key in keys), text, rows)


def _none_of(kind: RowKind) -> _Part:
    """Removes all parts of the rows that have none any more."""
    return _delete(
        kind.table, kind.group, lambda commit: [key for key, parts in commit.puts.get(kind, {}).items() if not parts]
    )


def _none_but(kind: RowKind) -> _Part:
    """Removes the older parts of rows, but those that are put again."""
    group = ", ".join(f"c{at}" for at in range(kind.width))
    text = (
        f"DELETE FROM {kind.name} AS t USING (SELECT DISTINCT {group} FROM ({{rows}}) AS g) AS r "  # noqa: S608
        f"WHERE {_same(kind.group, 'r')} AND NOT EXISTS (SELECT FROM ({{rows}}) AS n WHERE {_same(kind.keys, 'n')})"
    )
    return _Part(tuple(_array_of(kind.table.c[key]) for key in kind.keys), text, lambda commit: kind.rows(commit.puts))


def _same(keys: Sequence[str], given: str) -> str:
    return " AND ".join(f"t.{key} = {given}.c{at}" for at, key in enumerate(keys))


def _array_of(column: Column[Any]) -> str:
    return next(array for kind, array in _ARRAYS.items() if isinstance(column.type, kind))
