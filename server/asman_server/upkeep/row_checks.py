"""The checks of single rows: whether a row can be read, and says what its table's other columns say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Table

from asman_shared.definition import Definition
from asman_shared.errors import AsmanError
from asman_shared.identity import Signatures, job_id
from asman_shared.messages import LogLine, Result

from ..core import Job
from ..storage import tables
from ..storage.sqlite.write_buffer import decode_entry

_definition = msgspec.msgpack.Decoder(Definition).decode
_signatures = msgspec.msgpack.Decoder(Signatures).decode
_result = msgspec.msgpack.Decoder(Result).decode
_lines = msgspec.msgpack.Decoder(list[LogLine]).decode

Look = Callable[[Row[Any]], Iterator[str]]
"""Yields what is wrong with a row, in a few words each."""


def _look_at_job(row: Row[Any]) -> Iterator[str]:
    job = Job.unpack(row.record)
    if (job.id, job.number, job.state.value, job.finished) != (row.id, row.number, row.state, row.finished):
        yield "its record says something else than its columns"
    if not row.has_definition:
        yield "its definition is missing"


def _look_at_definition(row: Row[Any]) -> Iterator[str]:
    if job_id(_definition(row.body)) != row.id:
        yield "it has another id"


def _look_at_result(row: Row[Any]) -> Iterator[str]:
    _result(row.body)
    yield from _look_at_part(row)


def _look_at_log(row: Row[Any]) -> Iterator[str]:
    lines = _lines(row.body)
    if not lines or (lines[0].seq, lines[-1].seq) != (row.first, row.last):
        yield "it has other lines than its columns say"
    yield from _look_at_part(row)


def _look_at_signatures(row: Row[Any]) -> Iterator[str]:
    _signatures(row.body)
    yield from _look_at_part(row)


def _look_at_part(row: Row[Any]) -> Iterator[str]:
    if not row.has_job:
        yield "its job is missing"


def _look_at_entry(row: Row[Any]) -> Iterator[str]:
    decode_entry(row.body)
    yield from ()


def _look_at_result_blob(row: Row[Any]) -> Iterator[str]:
    if not row.is_stored:
        yield f"its blob {row.sha256} is not stored"


LOOKS: Final[dict[Table, tuple[str, Look]]] = {
    tables.jobs: ("the job", _look_at_job),
    tables.definitions: ("the definition", _look_at_definition),
    tables.results: ("the result", _look_at_result),
    tables.log_chunks: ("the log", _look_at_log),
    tables.signatures: ("the signatures", _look_at_signatures),
    tables.first_results: ("the time of the first result", _look_at_part),
    tables.door_notes: ("the note", _look_at_part),
    tables.as_sent: ("the rest of the submission", _look_at_part),
    tables.result_blobs: ("the result", _look_at_result_blob),
    tables.files: ("the file", _look_at_result_blob),
    tables.daybook: ("the entry of the write buffer", _look_at_entry),
}
"""The tables whose rows are looked at, with the words for a row."""


def wrong_with(table: Table, row: Row[Any]) -> list[str]:
    """Returns what is wrong with a row; empty if nothing is."""
    _, look = LOOKS[table]
    try:
        return list(look(row))
    except (msgspec.MsgspecError, AsmanError, ValueError) as error:
        return [f"it can't be read: {error}"]
