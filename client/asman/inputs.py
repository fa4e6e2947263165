"""Conversion of inputs (text, bytes, JSON values, paths) to the refs of a definition and the blobs to store."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial, singledispatch
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import rfc8785

from asman_shared import limits
from asman_shared.definition import DataRef, RefType
from asman_shared.definition_check import check_name
from asman_shared.errors import BadDefinition, BadRequest, misfit
from asman_shared.transfer import Blob
from asman_shared.transfer.source import CHUNK, file_state
from asman_shared.units import KIB

from .arguments import check_key, shown, text
from .arguments import path as checked_path

INLINE_TOTAL: Final = 128 * KIB
"""Maximum size of all values inside one definition, in bytes; further values become blobs."""
SHORTER_INLINE: Final = 48
"""Size up to which a value is shorter than the name of its blob, in bytes; it is always put inside the definition."""

Data = bytes | bytearray | memoryview
"""Bytes of any kind."""
InputValue = Any
"""Text, bytes, a path of a file or folder, a `DataRef` or its JSON form, an output of a job, or any JSON value."""

_REF_TYPES: Final = frozenset(get_args(RefType))
_REF_MEMBERS: Final = frozenset(msgspec.structs.asdict(DataRef("")))


@singledispatch
def stand_in(value: InputValue, where: str) -> InputValue:
    """Returns the value that an object of this package stands for as an input; any other value stands for itself.

    The modules of such objects register them.

    Args:
        value: The object.
        where: The field, for errors.

    Raises:
        BadDefinition: Such an object can't be an input.
    """
    return value


def ref_in(value: Mapping[Any, Any], where: str) -> DataRef | None:
    """Returns the ref that a mapping is the JSON form of; None for all other mappings, which are JSON values.

    It has exactly the members ``type``, one of the known types, and ``value``; ``hash`` may be added.

    Raises:
        BadDefinition: A member of the ref is wrong, or its type is a text that is no known type.
    """
    kind = value.get("type")
    if "value" not in value or not _REF_MEMBERS.issuperset(value) or not isinstance(kind, str):
        return None
    if kind not in _REF_TYPES:
        raise BadDefinition(
            f"{shown(kind)} is no type of a reference: use one of {', '.join(get_args(RefType))}; "
            f'for a JSON file of this mapping, pass {{"type": "json", "value": <the mapping>}} ({where}.type)',
            field=f"{where}.type",
        )
    try:
        return msgspec.convert(dict(value), DataRef)
    except msgspec.ValidationError as error:
        sentence, path = misfit(error)
        raise BadDefinition(f"{sentence} ({where}.{path})", field=f"{where}.{path}") from error


def url(address: str) -> DataRef:
    """Names a file on the web, or an output by its address, as an input; the worker fetches it.

    Args:
        address: An address that begins with ``http://`` or ``https://``.

    Raises:
        BadRequest: The text is no such address.
    """
    wanted = "an address that begins with http:// or https://"
    if not text("address", address, wanted).lower().startswith(("http://", "https://")):
        raise BadRequest(f"address is {shown(address)}; pass {wanted}", field="address")
    return DataRef(address, "url")


def blob(key: str) -> DataRef:
    """Names a blob that is stored on the hub as an input.

    Args:
        key: The blob's sha256.

    Raises:
        BadRequest: The text is no sha256.
    """
    return DataRef(check_key(key), "key")


@dataclass(slots=True)
class Prepared:
    """Refs by input name, and the blobs that some refs name.

    Attributes:
        inline: Size of the values inside the definition, in bytes, apart from the very short ones.
    """

    refs: dict[str, DataRef] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    inline: int = 0

    def add(self, name: str, value: InputValue, *, where: str, absolute: bool = False) -> None:
        """Adds one value; a folder becomes one ref for each file in it.

        Raises:
            BadDefinition: The name, the value or the file can't be an input.
        """
        if isinstance(value, os.PathLike):
            path = Path(value)
            for part, file in _files(path, where):
                self._put_file(self._name(f"{name}/{part}" if part else name, where, absolute), file, where)
            return
        name = self._name(name, where, absolute)
        value = stand_in(value, f"{where}.{name}")
        if isinstance(value, Mapping):
            value = ref_in(value, f"{where}.{name}") or value
        if isinstance(value, DataRef):
            self.refs[name] = value
        elif isinstance(value, str):
            self._put(name, _utf8(value, f"{where}.{name}"))
        elif isinstance(value, bytes | bytearray | memoryview):
            self._put(name, bytes(value))
        else:
            self._put_json(name, value, f"{where}.{name}")

    def _name(self, name: str, where: str, absolute: bool) -> str:
        clean = check_name(name, field=where, absolute=absolute)
        if clean in self.refs:
            raise BadDefinition(f"two inputs have the name '{clean}'", field=where)
        if not _is_utf8(clean):
            shown = clean.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            raise BadDefinition(f"the name '{shown}' is not UTF-8: rename the file", field=where)
        if len(self.refs) >= limits.INPUTS:
            raise BadDefinition(
                f"more than {limits.INPUTS} files: pack them into an archive, and unpack it in the command", field=where
            )
        return clean

    def _fits(self, size: int) -> bool:
        if size <= SHORTER_INLINE:
            return True
        if size > limits.INLINE_BYTES or self.inline + size > INLINE_TOTAL:
            return False
        self.inline += size
        return True

    def _put(self, name: str, data: bytes) -> None:
        if not self._fits(len(data)):
            self._put_bytes(name, data)
            return
        self._put_inline(name, data)

    def _put_inline(self, name: str, data: bytes) -> None:
        try:
            self.refs[name] = DataRef(data.decode(), "utf8")
        except UnicodeDecodeError:
            self.refs[name] = DataRef(base64.b64encode(data).decode("ascii"), "base64")

    def _put_json(self, name: str, value: Any, where: str) -> None:
        try:
            data = rfc8785.dumps(value)
        except rfc8785.FloatDomainError as error:
            raise BadDefinition(
                "nan and infinity can't be an input or in one: JSON has no such numbers", field=where
            ) from error
        except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
            raise BadDefinition(
                f"a value of type {type(value).__name__} can't be an input ({error}): "
                "give text, bytes, a path or a JSON value",
                field=where,
            ) from error
        if self._fits(len(data)):
            self.refs[name] = DataRef(value, "json")
        else:
            self._put_bytes(name, data)

    def _put_file(self, name: str, path: Path, where: str) -> None:
        try:
            if self._fits(path.stat().st_size):
                self._put_inline(name, _read_small(path, where))
            else:
                self._put_blob(name, hash_file(path, where))
        except OSError as error:
            raise _unreadable(path, where, error) from error

    def _put_bytes(self, name: str, data: bytes) -> None:
        self._put_blob(name, Blob(hashlib.sha256(data).hexdigest(), len(data), data, f"the input '{name}'"))

    def _put_blob(self, name: str, blob: Blob) -> None:
        self.refs[name] = DataRef(blob.sha256, "key")
        self.blobs[blob.sha256] = blob


def _read_small(path: Path, where: str) -> bytes:
    """Reads a file that was small when its size was checked."""
    with path.open("rb") as file:
        data = file.read(limits.INLINE_BYTES + 1)
    if len(data) > limits.INLINE_BYTES:
        raise BadDefinition(f"'{path}' changed while it was read; try again", field=where)
    return data


def hash_file(path: Path, where: str) -> Blob:
    """Makes a blob of a file, read in pieces; sending it reads the file again and refuses a file that has changed.

    Raises:
        BadDefinition: The file changed while it was read.
        OSError: The file can't be read.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        if file_state(os.fstat(file.fileno())) != file_state(before) or file.tell() != before.st_size:
            raise BadDefinition(f"'{path}' changed while it was read; try again", field=where)
    return Blob(digest.hexdigest(), before.st_size, partial(_open, path), f"'{path}'", file_state(before))


def blob_of(source: Data | str | os.PathLike[str]) -> Blob:
    """Makes a blob of bytes or of a file; this reads the file: call it in a thread.

    Raises:
        BadDefinition: The file can't be read.
        BadRequest: The source is neither bytes nor a path.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)  # a copy of what may change while it is sent
        return Blob(hashlib.sha256(data).hexdigest(), len(data), data, "these bytes")
    path = checked_path("source", source)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadDefinition(f"'{path}' is not a file", field="source")
        return hash_file(path, "source")
    except OSError as error:
        raise _unreadable(path, "source", error) from error


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))


def prepare(values: Mapping[str, InputValue], *, where: str, absolute: bool = False) -> Prepared:
    """Converts all values: a small one becomes part of the definition, a large one becomes a blob.

    The same values give the same definition in any order. This reads files: call it in a thread.

    Raises:
        BadDefinition: A name, value or file can't be an input.
    """
    made = Prepared()
    for name in sorted(values):
        made.add(name, values[name], where=where, absolute=absolute)
    return made


def name_files(files: Mapping[str, str | os.PathLike[str]] | Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """Names files and folders as inputs: by the names in a mapping, otherwise by the last part of each path.

    Raises:
        BadDefinition: Two of them have the same name, or a path is empty, which would be the whole current folder.
    """
    if isinstance(files, Mapping):
        return {name: _file(path) for name, path in files.items()}
    named: dict[str, Path] = {}
    for given in [files] if isinstance(files, str | os.PathLike) else files:
        path = _file(given)
        name = path.name or path.resolve().name
        if name in ("", ".."):
            name = path.resolve().name
        if name in named:
            raise BadDefinition(f"two files have the name '{name}': give one of them another name", field="inputs")
        named[name] = path
    return named


def _file(given: str | os.PathLike[str]) -> Path:
    try:
        return checked_path("a path in files", given)
    except BadRequest as error:
        raise BadDefinition(error.message, field="definition.inputs") from None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadDefinition("the text has a lone surrogate, which UTF-8 can't encode", field=where) from error


def _unreadable(path: Path, where: str, error: OSError) -> BadDefinition:
    return BadDefinition(f"'{path}' can't be read: {error.strerror or error}", field=where)


def _files(path: Path, where: str) -> Iterator[tuple[str, Path]]:
    """Yields the regular files at a path, with their names below it ('' for the path itself)."""
    try:
        kind = path.stat()
    except OSError as error:
        raise _unreadable(path, where, error) from error
    if stat.S_ISREG(kind.st_mode):
        yield "", path
    elif stat.S_ISDIR(kind.st_mode):
        yield from _walk(path, "", ((kind.st_dev, kind.st_ino),), where)
    else:
        raise BadDefinition(f"'{path}' is neither a file nor a folder", field=where)


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...], where: str) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(folder, where, error) from error
    for entry in entries:
        try:
            kind = entry.stat()
        except OSError as error:
            raise _unreadable(entry, where, error) from error
        name = f"{prefix}{entry.name}"
        if stat.S_ISREG(kind.st_mode):
            yield name, entry
        elif stat.S_ISDIR(kind.st_mode):
            place = (kind.st_dev, kind.st_ino)
            if place in above:
                raise BadDefinition(f"'{entry}' links to a folder that contains it", field=where)
            yield from _walk(entry, f"{name}/", (*above, place), where)
        else:
            raise BadDefinition(f"'{entry}' is neither a file nor a folder", field=where)
