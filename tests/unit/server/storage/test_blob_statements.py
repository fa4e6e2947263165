"""Changes to the catalogue of blobs: each does what it says, to the row it names, and only while it still holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Table, create_engine, insert, select

from asman_server.storage import blob_changes as bc
from asman_server.storage import tables
from asman_server.storage.blob_statements import BlobStatements
from asman_server.storage.upserts import upsert

KEY, OTHER = "ab" * 32, "cd" * 32
BLOB = bc.BlobRow(sha256=KEY, size=3, place="p", created=1, used=100)
UPLOAD = bc.UploadRow(queue="q", sha256=KEY, size=3, place="u", store_id="", created=1, touched=100)
FILE = bc.FileRow("a.txt", OTHER, 1, 100)


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def write(connection: Connection, *changes: Any) -> None:
    def of(table: Table, keys: Sequence[str], values: Sequence[str]) -> Any:
        return upsert(connection.dialect, table, keys, values)

    for statement, rows in BlobStatements(of).steps(changes):
        connection.execute(statement, rows)


def rows(connection: Connection, table: Table) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(select(table))]


def used(connection: Connection) -> int | None:
    return connection.scalar(select(tables.blobs.c.used))


def test_what_is_stored_twice_stays_as_it_was_first(connection: Connection) -> None:
    write(connection, bc.StoreBlob(BLOB), bc.StoreBlob(bc.BlobRow(KEY, 9, "other", 2, 2)))
    assert rows(connection, tables.blobs) == [(KEY, 3, "p", 1, 100)]


@pytest.mark.parametrize(("now", "then"), [(99, 100), (101, 101)])
def test_a_use_is_never_set_back(connection: Connection, now: int, then: int) -> None:
    write(connection, bc.StoreBlob(BLOB), bc.UseBlob(KEY, now))
    assert used(connection) == then


@pytest.mark.parametrize(("before", "place", "left"), [(100, "p", 1), (101, "other", 1), (101, "p", 0)])
def test_a_blob_is_dropped_only_from_its_place_and_only_when_it_was_last_used_before(
    connection: Connection, before: int, place: str, left: int
) -> None:
    write(connection, bc.StoreBlob(BLOB), bc.DropBlob(KEY, place, before))
    assert len(rows(connection, tables.blobs)) == left


@pytest.mark.parametrize("name", ["upload", "file", "definition", "result"])
def test_a_blob_that_anything_names_is_not_dropped(connection: Connection, name: str) -> None:
    write(connection, bc.StoreBlob(BLOB))
    if name == "upload":
        write(connection, bc.OpenUpload(UPLOAD))
    elif name == "file":
        write(connection, bc.NameFile(bc.FileRow("a.txt", KEY, 1, 1)))
    elif name == "definition":
        connection.execute(insert(tables.definition_blobs).values(definition="d", sha256=KEY))
    else:
        connection.execute(insert(tables.result_blobs).values(queue="q", id="j", sha256=KEY))
    write(connection, bc.DropBlob(KEY, "p", 1000))
    assert len(rows(connection, tables.blobs)) == 1


def test_a_blob_that_was_lost_goes_although_it_is_named(connection: Connection) -> None:
    write(connection, bc.StoreBlob(BLOB), bc.OpenUpload(UPLOAD), bc.LoseBlob(KEY, "elsewhere"))
    assert len(rows(connection, tables.blobs)) == 1
    write(connection, bc.LoseBlob(KEY, "p"))
    assert rows(connection, tables.blobs) == []


def test_an_upload_is_one_for_each_queue_and_goes_on_when_it_is_begun_again(connection: Connection) -> None:
    again = bc.UploadRow(queue="q", sha256=KEY, size=3, place="u2", store_id="", created=2, touched=2)
    elsewhere = bc.UploadRow(queue="r", sha256=KEY, size=3, place="u3", store_id="", created=2, touched=2)
    write(connection, bc.OpenUpload(UPLOAD), bc.OpenUpload(again), bc.OpenUpload(elsewhere))
    assert [(row[0], row[3]) for row in rows(connection, tables.uploads)] == [("q", "u"), ("r", "u3")]


@pytest.mark.parametrize(("before", "place", "left"), [(100, "u", 1), (101, "other", 1), (101, "u", 0)])
def test_an_upload_ends_only_when_it_was_not_touched_since(
    connection: Connection, before: int, place: str, left: int
) -> None:
    write(connection, bc.OpenUpload(UPLOAD), bc.EndUpload("q", KEY, place, before))
    assert len(rows(connection, tables.uploads)) == left


def test_a_touch_keeps_an_upload(connection: Connection) -> None:
    write(connection, bc.OpenUpload(UPLOAD), bc.TouchUpload("q", KEY, 500), bc.EndUpload("q", KEY, "u", 500))
    assert rows(connection, tables.uploads)[0][-1] == 500


def test_a_name_is_given_once_and_dropped_when_nobody_uses_it(connection: Connection) -> None:
    write(connection, bc.NameFile(FILE), bc.NameFile(bc.FileRow("a.txt", KEY, 2, 2)))
    assert rows(connection, tables.files) == [("a.txt", OTHER, 1, 100)]
    write(connection, bc.UseFile("a.txt", 300), bc.DropFile("a.txt", 300))
    assert len(rows(connection, tables.files)) == 1
    write(connection, bc.DropFile("a.txt", 301))
    assert rows(connection, tables.files) == []


def test_a_definition_goes_with_what_it_names_unless_a_job_has_it(connection: Connection) -> None:
    for name in ("free", "held"):
        connection.execute(insert(tables.definitions).values(id=name, body=b"{}"))
        connection.execute(insert(tables.definition_blobs).values(definition=name, sha256=KEY))
    job = {"queue": "q", "id": "held", "number": 1, "state": "queued", "finished": 0, "record": b"", "due": 0}
    connection.execute(insert(tables.jobs).values(**job))
    write(connection, bc.DropDefinition("free"), bc.DropDefinition("held"))
    assert [row[0] for row in rows(connection, tables.definitions)] == ["held"]
    assert [row[0] for row in rows(connection, tables.definition_blobs)] == ["held"]


def test_another_id_of_a_definition_goes_unless_a_job_has_the_definition(connection: Connection) -> None:
    for alias, name in (("old", "free"), ("older", "held"), ("oldest", "held")):
        connection.execute(insert(tables.aliases).values(alias=alias, id=name))
    job = {"queue": "q", "id": "held", "number": 1, "state": "queued", "finished": 0, "record": b"", "due": 0}
    connection.execute(insert(tables.jobs).values(**job))
    write(connection, *(bc.DropAlias(alias) for alias in ("old", "older", "oldest", "unknown")))
    assert sorted(row[0] for row in rows(connection, tables.aliases)) == ["older", "oldest"]
