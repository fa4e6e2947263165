"""The statements that write each change of `asman_server.storage.blob_changes` to the blob catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Executable, Table, bindparam, delete, exists, or_, update

from . import blob_changes as bc
from .tables import aliases, blobs, definition_blobs, definitions, files, jobs, result_blobs, uploads

Upsert = Callable[[Table, Sequence[str], Sequence[str]], Executable]


def named(sha256: ColumnElement[str]) -> ColumnElement[bool]:
    """A condition: a definition, a result, an upload in progress or a file names the blob."""
    return or_(
        *(exists().where(table.c.sha256 == sha256) for table in (definition_blobs, result_blobs, uploads, files))
    )


class BlobStatements:
    """Writes changes to the blob catalogue.

    Args:
        upsert: Builds an insert in the database's dialect that leaves existing rows.
    """

    def __init__(self, upsert: Upsert) -> None:
        given = bindparam
        self._drop_definition_blobs = delete(definition_blobs).where(
            definition_blobs.c.definition == given("p_id"),
            ~exists().where(definitions.c.id == definition_blobs.c.definition),
        )
        self._statements: dict[type, Executable] = {
            bc.StoreBlob: upsert(blobs, ("sha256",), ()),
            bc.OpenUpload: upsert(uploads, ("queue", "sha256"), ()),
            bc.NameFile: upsert(files, ("name",), ()),
            bc.UseBlob: update(blobs)
            .where(blobs.c.sha256 == given("p_sha256"), blobs.c.used < given("p_used"))
            .values(used=given("p_used")),
            bc.TouchUpload: update(uploads)
            .where(uploads.c.queue == given("p_queue"), uploads.c.sha256 == given("p_sha256"))
            .values(touched=given("p_touched")),
            bc.UseFile: update(files).where(files.c.name == given("p_name")).values(used=given("p_used")),
            bc.DropBlob: delete(blobs).where(
                blobs.c.sha256 == given("p_sha256"),
                blobs.c.place == given("p_place"),
                blobs.c.used < given("p_before"),
                ~named(blobs.c.sha256),
            ),
            bc.LoseBlob: delete(blobs).where(blobs.c.sha256 == given("p_sha256"), blobs.c.place == given("p_place")),
            bc.EndUpload: delete(uploads).where(
                uploads.c.queue == given("p_queue"),
                uploads.c.sha256 == given("p_sha256"),
                uploads.c.place == given("p_place"),
                uploads.c.touched < given("p_before"),
            ),
            bc.DropFile: delete(files).where(files.c.name == given("p_name"), files.c.used < given("p_before")),
            bc.DropDefinition: delete(definitions).where(
                definitions.c.id == given("p_id"), ~exists().where(jobs.c.id == definitions.c.id)
            ),
            bc.DropAlias: delete(aliases).where(
                aliases.c.alias == given("p_alias"), ~exists().where(jobs.c.id == aliases.c.id)
            ),
        }

    def steps(self, changes: Sequence[bc.BlobChange]) -> Iterator[tuple[Executable, list[dict[str, Any]]]]:
        """The statements that make the changes, in their order, each with the parameters of all its runs."""
        for kind, alike in groupby(changes, type):
            rows = [_parameters(change) for change in alike]
            yield self._statements[kind], rows
            if kind is bc.DropDefinition:
                yield self._drop_definition_blobs, rows


def _parameters(change: bc.BlobChange) -> dict[str, Any]:
    if isinstance(change, bc.StoreBlob | bc.OpenUpload | bc.NameFile):
        return msgspec.structs.asdict(change.row)
    return {f"p_{name}": value for name, value in msgspec.structs.asdict(change).items()}
