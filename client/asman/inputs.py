"""Conversion of inputs (text, bytes, JSON values, paths) to the refs of a definition and the blobs to store."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import rfc8785

from asman_shared import limits
from asman_shared.definition import DataRef
from asman_shared.definition_check import check_name
from asman_shared.errors import BadDefinition
from asman_shared.transfer import Blob
from asman_shared.transfer.source import CHUNK, file_state
from asman_shared.units import KIB

INLINE_TOTAL: Final = 128 * KIB
"""Maximum size of all values inside one definition, in bytes; further values become blobs."""
SHORTER_INLINE: Final = 48
"""Size up to which a value is shorter than the name of its blob, in bytes; it is always put inside the definition."""

InputValue = Any
"""Text, bytes, a path of a file or folder, a `DataRef`, or any JSON value."""


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


def blob_of(source: bytes | str | os.PathLike[str]) -> Blob:
    """Makes a blob of bytes or of a file; this reads the file: call it in a thread.

    Raises:
        BadDefinition: The file can't be read.
    """
    if isinstance(source, bytes):
        return Blob(hashlib.sha256(source).hexdigest(), len(source), source, "these bytes")
    path = Path(source)
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
        BadDefinition: Two of them have the same name.
    """
    if isinstance(files, Mapping):
        return {name: Path(path) for name, path in files.items()}
    named: dict[str, Path] = {}
    for given in [files] if isinstance(files, str | os.PathLike) else files:
        path = Path(given)
        name = path.name or path.resolve().name
        if name in ("", ".."):
            name = path.resolve().name
        if name in named:
            raise BadDefinition(f"two files have the name '{name}': give one of them another name", field="inputs")
        named[name] = path
    return named


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
