"""What is written of blobs, as plain data: rows of the catalogue, and the changes that a commit makes to them.

The changes of one commit are made in their order, after everything else in it. Those that remove something carry
their own condition, which is looked at inside the transaction: what is asked for, uploaded or named by a job in the
same moment stays.
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
        sha256: Its name.
        size: Bytes.
        place: Where it is in the store. Made for this one arrival and never used again, so that removing what was at a
            place can not hit what came later.
        created: When it was stored, in epoch milliseconds.
        used: When it was last asked for, give or take an hour.
    """

    sha256: str
    size: int
    place: str
    created: int
    used: int


class UploadRow(Struct, frozen=True):
    """An upload in progress; see `asman_server.storage.tables.uploads`.

    Attributes:
        queue: Whose people send it; empty for those who use plain HTTP.
        sha256: What they say it is.
        size: Bytes that they say it has.
        place: Where it will be in the store, if it is what they say.
        store_id: The store's own name of it; empty when it is sent in one piece.
        created: When it began, in epoch milliseconds.
        touched: When it was last asked for, give or take an hour.
    """

    queue: str
    sha256: str
    size: int
    place: str
    store_id: str
    created: int
    touched: int


class FileRow(Struct, frozen=True):
    """A name that somebody gave to a blob over plain HTTP; see `asman_server.storage.tables.files`."""

    name: str
    sha256: str
    created: int
    used: int


class StoreBlob(Struct, tag=True, frozen=True):
    """Adds a blob, unless one of this name is there."""

    row: BlobRow


class UseBlob(Struct, tag=True, frozen=True):
    """Notes that a blob was asked for."""

    sha256: str
    used: int


class DropBlob(Struct, tag=True, frozen=True):
    """Removes a blob that was last used before ``before`` and that nothing names."""

    sha256: str
    place: str
    before: int


class LoseBlob(Struct, tag=True, frozen=True):
    """Removes a blob whose bytes are seen to be gone, so that it is asked for again."""

    sha256: str
    place: str


class OpenUpload(Struct, tag=True, frozen=True):
    """Adds an upload, unless its queue has one of this blob."""

    row: UploadRow


class TouchUpload(Struct, tag=True, frozen=True):
    """Notes that an upload was asked for."""

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
    """Notes that a file was asked for."""

    name: str
    used: int


class DropFile(Struct, tag=True, frozen=True):
    """Removes a name that was last used before ``before``; the blob stays."""

    name: str
    before: int


class DropDefinition(Struct, tag=True, frozen=True):
    """Removes a definition that no job has."""

    id: str


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
