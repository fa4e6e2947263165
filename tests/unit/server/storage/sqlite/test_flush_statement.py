"""The one statement that flushes rows of all kinds: it leaves in the tables what single writes would."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine

from asman_server.storage import tables
from asman_server.storage.row_kinds import JOBS, RESULTS
from asman_server.storage.sqlite.flush_statement import FlushStatement
from tests.support.rows import chunk, commit, job, job_id, row


@pytest.fixture
def driver() -> Iterator[sqlite3.Connection]:
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.commit()
        made: Any = connection.connection.driver_connection
        yield made
    engine.dispose()


def flush(driver: sqlite3.Connection, *, obsolete: int = 0, **parts: Any) -> None:
    statement = FlushStatement()
    if driver.execute("SELECT 1 FROM sqlite_temp_master WHERE name = 'flushing'").fetchone() is None:
        statement.prepare(driver)
    driver.execute(statement.text, statement.parameters(commit(**parts).puts, obsolete))


def test_rows_of_every_kind_are_in_their_tables(driver: sqlite3.Connection) -> None:
    made, lines = row(job(1)), chunk(1, 0, ["a", "b"])
    flush(
        driver,
        jobs=[made],
        log_chunks=[lines],
        definitions=[(job_id(1), b"{}")],
        definition_blobs=[(job_id(1), "ab" * 32)],
        aliases=[("old", job_id(1))],
        results=[("q", job_id(1), b"\x00\xff")],
        result_blobs=[("q", job_id(1), "cd" * 32)],
    )
    assert driver.execute("SELECT * FROM jobs").fetchall() == [tuple(made)]
    assert driver.execute("SELECT * FROM log_chunks").fetchall() == [tuple(lines)]
    assert driver.execute("SELECT * FROM definitions").fetchall() == [(job_id(1), b"{}")]
    assert driver.execute("SELECT * FROM definition_blobs").fetchall() == [(job_id(1), "ab" * 32)]
    assert driver.execute("SELECT * FROM aliases").fetchall() == [("old", job_id(1))]
    assert driver.execute("SELECT * FROM results").fetchall() == [("q", job_id(1), b"\x00\xff")]
    assert driver.execute("SELECT * FROM result_blobs").fetchall() == [("q", job_id(1), "cd" * 32)]


def test_bodies_of_any_bytes_and_sizes_go_to_their_own_rows(driver: sqlite3.Connection) -> None:
    bodies = [b"", b"\x00", bytes(range(256)), b"'\"]", b"x" * 10_000]
    flush(driver, definitions=[(f"{number}", body) for number, body in enumerate(bodies)])
    assert [body for _, body in driver.execute("SELECT * FROM definitions ORDER BY id")] == bodies


def test_a_newer_row_replaces_the_older_where_its_kind_does_and_stays_out_where_not(
    driver: sqlite3.Connection,
) -> None:
    flush(driver, jobs=[row(job(1))], definitions=[("d", b"first")])
    newer = row(job(1, attempt=7))
    flush(driver, jobs=[newer], definitions=[("d", b"second")])
    assert driver.execute("SELECT record FROM jobs").fetchall() == [(newer.record,)]
    assert driver.execute("SELECT body FROM definitions").fetchall() == [(b"first",)]


def test_a_new_result_takes_the_blobs_of_the_older_one_away(driver: sqlite3.Connection) -> None:
    one, two = "ab" * 32, "cd" * 32
    other = ("q", job_id(2), one)
    flush(
        driver,
        results=[("q", job_id(1), b"1"), ("q", job_id(2), b"1")],
        result_blobs=[("q", job_id(1), one), other],
    )
    flush(driver, results=[("q", job_id(1), b"2")], result_blobs=[("q", job_id(1), two)])
    found = driver.execute("SELECT * FROM result_blobs ORDER BY id").fetchall()
    assert found == [("q", job_id(1), two), other]


def test_entries_that_are_flushed_leave_the_daybook_and_later_ones_stay(driver: sqlite3.Connection) -> None:
    driver.executemany("INSERT INTO daybook VALUES (?, ?)", [(number, b"") for number in (1, 2, 3)])
    flush(driver, jobs=[row(job(1))], obsolete=2)
    assert driver.execute("SELECT number FROM daybook").fetchall() == [(3,)]
    flush(driver, jobs=[row(job(2))])
    assert driver.execute("SELECT number FROM daybook").fetchall() == [(3,)]


def test_a_name_can_not_break_out_of_the_statement(driver: sqlite3.Connection) -> None:
    hostile = "q'); DROP TABLE jobs; --\"]"
    flush(driver, jobs=[row(job(1), hostile)])
    assert driver.execute("SELECT queue FROM jobs").fetchall() == [(hostile,)]


def test_numbers_as_large_as_may_be_stay_exact(driver: sqlite3.Connection) -> None:
    flush(driver, jobs=[row(job(2**53 - 1, finished=2**53 - 1))])
    assert driver.execute("SELECT number, finished FROM jobs").fetchall() == [(2**53 - 1, 2**53 - 1)]


def test_nothing_is_a_statement_too(driver: sqlite3.Connection) -> None:
    flush(driver)
    assert driver.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


def test_a_row_in_json_says_where_its_body_is() -> None:
    statement = FlushStatement()
    text, bodies = statement.parameters(commit(jobs=[row(job(1))], results=[("q", "a", b"xyz")]).puts, 0)
    rows = msgspec.json.decode(text)
    assert len(rows) == 2
    at, size = rows[1][1:3]
    assert bodies[at - 1 : at - 1 + size] == b"xyz"
    assert {JOBS, RESULTS} <= set(statement._kinds)
