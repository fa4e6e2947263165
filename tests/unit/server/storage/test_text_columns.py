"""Every text column has a check at the doors: what a database can't hold there never reaches it.

Postgres refuses NUL and half characters (lone surrogates) in a text, and a text longer than its column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from sqlalchemy import String

from asman_server.access import access
from asman_server.blobs.named_files import check_file_name
from asman_server.dialect.ids import identify
from asman_server.storage.blob_changes import blobs_of_result
from asman_server.storage.tables import metadata
from asman_server.webhooks.calls import calls_of
from asman_shared import ranges
from asman_shared.definition import DataRef
from asman_shared.definition_check import check_ref
from asman_shared.errors import AsmanError
from asman_shared.messages import Callback, Callbacks, OutputFile, Result

Check = Callable[[str], object]


def blob_of_a_definition(text: str) -> None:
    check_ref(DataRef(text, "key"), "inputs.a")


def blob_of_a_result(text: str) -> None:
    """What is no sha256 is passed over, whatever a worker reports."""
    result = Result(outputs={"a": OutputFile(ref=DataRef(text, "key"), size=0, sha256=text)})
    if blobs_of_result(result) != [text]:
        raise AsmanError("it is passed over")


def url(text: str) -> None:
    calls_of(Callbacks(queued=Callback(text)), allow_private=True)


def url_with(text: str) -> None:
    url(f"https://example.org/{text}")


def host(text: str) -> None:
    url(f"https://{text}/")


def alias(text: str) -> None:
    identify({"image": "a"}, text)


def sha256(text: str) -> None:
    msgspec.convert(text, ranges.Sha256)


def job_id(text: str) -> None:
    msgspec.convert(text, ranges.JobId)


COMPUTED: Final = "computed by the hub: the sha256 of a definition, or the hash of a key, in hex digits"
CHOSEN: Final = "chosen by the hub: one of a few words, or a random token in hex digits"
STORE: Final = "named by the store of blobs, from a sha256 and random tokens"

GUARDS: Final[dict[str, Check | str]] = {
    "jobs.queue": access,
    "jobs.id": job_id,
    "jobs.state": CHOSEN,
    "queues.queue": access,
    "queue_keys.hash": COMPUTED,
    "queue_keys.queue": access,
    "queue_keys.kind": CHOSEN,
    "facts.name": CHOSEN,
    "facts.value": CHOSEN,
    "definitions.id": COMPUTED,
    "aliases.alias": alias,
    "aliases.id": COMPUTED,
    "signatures.queue": access,
    "signatures.id": COMPUTED,
    "door_notes.queue": access,
    "door_notes.id": COMPUTED,
    "as_sent.queue": access,
    "as_sent.id": COMPUTED,
    "results.queue": access,
    "results.id": job_id,
    "first_results.queue": access,
    "first_results.id": job_id,
    "log_chunks.queue": access,
    "log_chunks.job": job_id,
    "webhooks.id": CHOSEN,
    "webhooks.queue": access,
    "webhooks.event": CHOSEN,
    "webhooks.host": host,
    "webhooks.url": url_with,
    "blobs.sha256": sha256,
    "blobs.place": STORE,
    "uploads.queue": access,
    "uploads.sha256": sha256,
    "uploads.place": STORE,
    "uploads.store_id": STORE,
    "definition_blobs.definition": COMPUTED,
    "definition_blobs.sha256": blob_of_a_definition,
    "result_blobs.queue": access,
    "result_blobs.id": job_id,
    "result_blobs.sha256": blob_of_a_result,
    "shards.owner": CHOSEN,
    "files.name": check_file_name,
    "files.sha256": sha256,
}
"""The check that a text passes before it is put into a column, or where the text comes from."""

COLUMNS: Final = {
    f"{table.name}.{column.name}": column
    for table in metadata.tables.values()
    for column in table.columns
    if isinstance(column.type, String)
}
CHECKED: Final = [(name, guard) for name, guard in GUARDS.items() if callable(guard)]


def test_every_text_column_has_a_guard() -> None:
    assert GUARDS.keys() == COLUMNS.keys()


@pytest.mark.parametrize(("name", "guard"), CHECKED, ids=[name for name, _ in CHECKED])
def test_a_text_that_its_column_can_not_hold_is_refused_at_the_doors(name: str, guard: Check) -> None:
    column: Any = COLUMNS[name]
    longest = column.type.length
    usual = "a" * 64 if longest == 64 else "a"
    for text in (
        "\0",
        f"{usual}\0",
        f"\0{usual[1:]}",
        "\ud800",
        f"{usual[:-1]}\udfff",
        f"{usual}\n",
        "a" * (longest + 1),
    ):
        with pytest.raises((AsmanError, msgspec.ValidationError)):
            guard(text)


def test_the_guards_take_what_is_right() -> None:
    ids: tuple[Check, ...] = (sha256, job_id, blob_of_a_definition, blob_of_a_result)
    names: tuple[Check, ...] = (access, host, url_with, check_file_name)
    for text, guards in (("0" * 64, ids), ("a", names)):
        for guard in guards:
            guard(text)
    alias(identify({"image": "a"}).job)
