"""Rows of the blob catalogue, and the changes that a commit makes to them, as plain data.

The changes of a commit are made in their order, after everything else in it. A removal carries a condition that is
checked inside the transaction, so a blob that is used, uploaded or named by a job at the same moment stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from asman_shared.definition import SHA256, DataRef, Definition
from asman_shared.definition_check import context_blob
from asman_shared.messages import Result

END_OF_TIME: Final = 2**62
"""A time after all others, in epoch milliseconds."""


class BlobRow(Struct, frozen=True):
    """A stored and verified blob; see `asman_server.storage.tables.blobs`.

    Attributes:
        sha256: The name of the blob.
        size: Its size, in bytes.
        place: Its place in the store. Each place is used once, so removing a place can't hit a later blob.
        created: Time when it was stored, in epoch milliseconds.
        used: Time of the last use, in epoch milliseconds, accurate to an hour.
    """

    sha256: str
    size: int
    place: str
    created: int
    used: int


class UploadRow(Struct, frozen=True):
    """An upload in progress; see `asman_server.storage.tables.uploads`.

    Attributes:
        queue: The queue whose client sends it; empty for an upload over plain HTTP.
        sha256: The announced sha256.
        size: The announced size, in bytes.
        place: The place in the store that the blob gets once it is verified.
        store_id: The store's own id of the upload; empty for an upload in one piece.
        created: Time when it began, in epoch milliseconds.
        touched: Time of the last request for it, in epoch milliseconds, accurate to an hour.
    """

    queue: str
    sha256: str
    size: int
    place: str
    store_id: str
    created: int
    touched: int


class FileRow(Struct, frozen=True):
    """A plain name that a blob got over HTTP; see `asman_server.storage.tables.files`."""

    name: str
    sha256: str
    created: int
    used: int


class StoreBlob(Struct, tag=True, frozen=True):
    """Adds a blob unless it is stored already."""

    row: BlobRow


class UseBlob(Struct, tag=True, frozen=True):
    """Notes a use of a blob."""

    sha256: str
    used: int


class DropBlob(Struct, tag=True, frozen=True):
    """Removes a blob that was last used before ``before`` and that nothing names."""

    sha256: str
    place: str
    before: int


class LoseBlob(Struct, tag=True, frozen=True):
    """Removes a blob whose bytes are missing in the store, so that it is sent again."""

    sha256: str
    place: str


class OpenUpload(Struct, tag=True, frozen=True):
    """Adds an upload unless its queue has one of the same blob."""

    row: UploadRow


class TouchUpload(Struct, tag=True, frozen=True):
    """Notes a request for an upload."""

    queue: str
    sha256: str
    touched: int


class EndUpload(Struct, tag=True, frozen=True):
    """Removes an upload that was last touched before ``before``."""

    queue: str
    sha256: str
    place: str
    before: int = END_OF_TIME


class NameFile(Struct, tag=True, frozen=True):
    """Names a blob, unless the name is taken."""

    row: FileRow


class UseFile(Struct, tag=True, frozen=True):
    """Notes a use of a file."""

    name: str
    used: int


class DropFile(Struct, tag=True, frozen=True):
    """Removes a name that was last used before ``before``; the blob stays."""

    name: str
    before: int


class DropDefinition(Struct, tag=True, frozen=True):
    """Removes a definition that no job has."""

    id: str


class DropAlias(Struct, tag=True, frozen=True):
    """Removes another id of a definition that no job has."""

    alias: str


BlobChange = (
    StoreBlob
    | UseBlob
    | DropBlob
    | LoseBlob
    | OpenUpload
    | TouchUpload
    | EndUpload
    | NameFile
    | UseFile
    | DropFile
    | DropDefinition
    | DropAlias
)


def _keys(refs: Iterable[DataRef | None]) -> list[str]:
    values: list[Any] = [ref.value for ref in refs if ref is not None and ref.type == "key"]
    return list(dict.fromkeys(v for v in values if isinstance(v, str) and SHA256.fullmatch(v)))


def blobs_of_definition(definition: Definition) -> list[str]:
    """The sha256 of each blob that a definition names, once each."""
    if definition.inputs is None and definition.config_files is None and definition.build is None:
        return []
    refs: list[DataRef | None] = [*(definition.inputs or {}).values(), *(definition.config_files or {}).values()]
    if (uploaded := context_blob(definition)) is not None:
        refs.append(DataRef(uploaded, type="key"))
    return _keys(refs)


def blobs_of_result(result: Result) -> list[str]:
    """The sha256 of each blob that a result names, once each."""
    return _keys(file.ref for file in result.outputs.values())
