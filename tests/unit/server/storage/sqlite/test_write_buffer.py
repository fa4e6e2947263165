"""Rows that are durable and not yet in their tables: which are flushed next, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from asman_server.core import Job
from asman_server.storage import row_kinds
from asman_server.storage.commit import LogChunk
from asman_server.storage.row_kinds import DEFINITIONS, FIRST_RESULTS, JOBS, LOG_CHUNKS, RESULTS
from asman_server.storage.sqlite.write_buffer import (
    CHUNK_BYTES,
    WriteBuffer,
    bufferable,
    decode_entry,
    encode_entry,
    version,
)
from asman_shared.errors import Unavailable
from asman_shared.states import State
from tests.support.rows import chunk, commit, job, row


def spread(number: int, state: State = State.QUEUED, **more: Any) -> Job:
    """A job whose id is anywhere, as hashes are."""
    made = job(number, state, **more)
    made.id = sha256(bytes([number])).hexdigest()
    return made


def near(number: int, digits: str = "00", **more: Any) -> Job:
    """A job in the first partition, or in that of other digits; otherwise like `spread`."""
    made = spread(number, **more)
    made.id = digits + made.id[2:]
    return made


def test_a_divided_partition_is_flushed_by_whole_ids_in_order_before_newer_rows() -> None:
    buffer = WriteBuffer()

    def note(numbers: Sequence[int], rev: int) -> None:
        made = [near(number, rev=rev) for number in numbers]
        noted = commit(jobs=[row(one) for one in made], results=[("q", one.id, bytes([one.rev])) for one in made])
        buffer.note(noted.puts, 100)

    note(range(8), rev=1)
    seen: list[tuple[list[str], list[str]]] = []
    for round_ in range(4):
        made = buffer.batch(3)
        assert made == buffer.batch(99), "the same until it is flushed"
        assert buffer.newest_obsolete() == (1 if round_ == 3 else 0)
        assert buffer.holds([JOBS.rows(made)[0].id])
        buffer.flushed()
        seen.append(([one.id for one in JOBS.rows(made)], [result[1] for result in RESULTS.rows(made)]))
        if round_ == 0:
            note([0, 7], rev=2)
        assert buffer.bytes == (100 if round_ == 3 else 200)
    assert [jobs for jobs, _ in seen] == [results for _, results in seen]
    assert [one for jobs, _ in seen for one in jobs] == sorted(near(n).id for n in range(8))
    assert buffer.holds([near(0).id])
    assert not buffer.holds([near(1).id])
    last = buffer.batch(99)
    assert [Job.unpack(one.record).rev for one in JOBS.rows(last)] == [2, 2]
    buffer.flushed()
    assert not buffer
    assert buffer.bytes == 0


def test_what_is_large_weighs_more_than_a_row() -> None:
    buffer = WriteBuffer()
    for number in range(4):
        noted = commit(jobs=[row(near(number))], definitions=[(near(number).id, bytes(40_000))])
        buffer.note(noted.puts, 1)
    assert len(JOBS.rows(buffer.batch(16))) == 2


def test_a_buffer_holds_what_it_was_given_until_that_is_flushed() -> None:
    buffer = WriteBuffer()
    assert not buffer
    assert not buffer.holds([near(1).id])
    buffer.note(commit(jobs=[row(near(1))]).puts, 10)
    assert buffer.holds(["0" * 64, near(1).id])
    buffer.batch(1)
    assert buffer.holds([near(1).id]), "a reader must not miss what is being flushed"
    buffer.flushed()
    assert not buffer.holds([near(1).id])
    assert not buffer


def test_of_rows_that_are_replaced_the_newest_is_flushed_and_of_others_the_first() -> None:
    buffer = WriteBuffer()
    made = near(1)
    for rev in (1, 2):
        made.rev = rev
        buffer.note(commit(jobs=[row(made)], definitions=[(made.id, bytes([rev]))]).puts, 10)
    batch = buffer.batch(99)
    assert Job.unpack(JOBS.rows(batch)[0].record).rev == 2
    assert DEFINITIONS.rows(batch) == [(made.id, b"\1")]


def test_an_entry_is_obsolete_once_every_partition_that_it_is_in_was_flushed() -> None:
    buffer = WriteBuffer()
    buffer.note(commit(jobs=[row(near(1, "00")), row(near(2, "ff"))]).puts, 10)
    buffer.batch(99)
    assert buffer.newest_obsolete() == 0
    buffer.flushed()
    assert buffer.bytes == 10
    buffer.batch(99)
    assert buffer.newest_obsolete() == 1
    buffer.flushed()
    assert (buffer.bytes, bool(buffer)) == (0, False)


def test_all_that_is_left_is_what_was_not_flushed_in_the_order_of_its_age() -> None:
    buffer = WriteBuffer()
    buffer.note(commit(jobs=[row(near(number)) for number in range(4)]).puts, 10)
    first = JOBS.rows(buffer.batch(2))
    buffer.flushed()
    buffer.note(commit(jobs=[row(near(9))]).puts, 10)
    older, newer = buffer.all()
    assert len(JOBS.rows(older)) == 2
    assert not {each.id for each in JOBS.rows(older)} & {each.id for each in first}
    assert [each.id for each in JOBS.rows(newer)] == [near(9).id]
    buffer.clear()
    assert (buffer.bytes, bool(buffer), buffer.holds([near(9).id])) == (0, False, False)


def test_an_entry_is_read_back_as_it_was_written() -> None:
    made = commit(
        jobs=[row(job(1))], log_chunks=[chunk(1, 0, ["a"])], results=[("q", "a", b"r")], result_blobs=[("q", "a", "b")]
    )
    read = decode_entry(encode_entry(made.puts))
    for kind in (JOBS, LOG_CHUNKS, RESULTS):
        assert [tuple(each) for each in kind.rows(read)] == [tuple(each) for each in kind.rows(made.puts)]


def test_an_entry_of_a_hub_that_did_not_note_first_results_has_them_when_it_is_read() -> None:
    done = job(1, State.FINISHED, finished=10)
    made = commit(jobs=[row(done), row(job(2))], results=[("q", done.id, b"r")])
    made.puts.pop(FIRST_RESULTS)
    _, *arrays = msgspec.msgpack.decode(encode_entry(made.puts))
    older = [FIRST_RESULTS.since - 1, *arrays[: row_kinds.KINDS.index(FIRST_RESULTS)]]
    assert FIRST_RESULTS.rows(decode_entry(msgspec.msgpack.encode(older))) == [("q", done.id, 10)]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\xc0", b"\x91\xa1a"])
def test_an_entry_that_is_broken_is_refused(body: bytes) -> None:
    with pytest.raises(Unavailable, match="can't be read"):
        decode_entry(body)


def test_an_entry_of_a_newer_hub_is_refused() -> None:
    with pytest.raises(Unavailable, match="newer hub"):
        decode_entry(msgspec.msgpack.encode([version() + 1]))


def test_many_log_lines_and_anything_but_rows_are_not_buffered() -> None:
    head = LogChunk("q", "a", 0, 0, 1, bytes(CHUNK_BYTES - 1))
    assert bufferable(commit(log_chunks=[head, LogChunk("q", "b", 0, 0, 1, b"1")]))
    assert not bufferable(commit(log_chunks=[head, LogChunk("q", "b", 0, 0, 1, b"12")]))
    assert bufferable(commit(definitions=[("a", bytes(10 * CHUNK_BYTES))]))
    assert not bufferable(commit(jobs=[row(job(1))], trim=[("q", "a", 1)]))
