"""From what a caller has (text, bytes, JSON values, paths) to the refs of a definition and the blobs to store."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import rfc8785

from asman_shared import limits
from asman_shared.definition import DataRef, check_name
from asman_shared.errors import BadDefinition
from asman_shared.units import KIB, MIB

INLINE_TOTAL: Final = 128 * KIB
"""Bytes of values that travel inside one definition; the rest are blobs however small they are."""
_READ: Final = MIB

InputValue = Any
"""Text, bytes, a path of a file or folder, a `DataRef`, or any JSON value."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to be stored under their sha256: in memory, or in a file that is read when it is sent."""

    sha256: str
    size: int
    source: bytes | Path


@dataclass(slots=True)
class Prepared:
    """Refs by input name, and the blobs that some of them name."""

    refs: dict[str, DataRef] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    inline: int = 0

    def add(self, name: str, value: InputValue, *, where: str, absolute: bool = False) -> None:
        """Takes one value; a folder becomes one ref for each file in it.

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
        return clean

    def _fits(self, size: int) -> bool:
        if size > limits.INLINE_BYTES or self.inline + size > INLINE_TOTAL:
            return False
        self.inline += size
        return True

    def _put(self, name: str, data: bytes) -> None:
        if not self._fits(len(data)):
            digest = hashlib.sha256(data).hexdigest()
            self._put_blob(name, Blob(digest, len(data), data))
            return
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
            self._put_blob(name, Blob(hashlib.sha256(data).hexdigest(), len(data), data))

    def _put_file(self, name: str, path: Path, where: str) -> None:
        try:
            if path.stat().st_size <= limits.INLINE_BYTES:
                self._put(name, path.read_bytes())
            else:
                self._put_blob(name, hash_file(path))
        except OSError as error:
            raise _unreadable(path, where, error) from error

    def _put_blob(self, name: str, blob: Blob) -> None:
        self.refs[name] = DataRef(blob.sha256, "key")
        self.blobs[blob.sha256] = blob


def hash_file(path: Path) -> Blob:
    """The blob that a file is, read in pieces."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_READ):
            digest.update(chunk)
            size += len(chunk)
    return Blob(digest.hexdigest(), size, path)


def prepare(values: Mapping[str, InputValue], *, where: str, absolute: bool = False) -> Prepared:
    """Reads all values; what is small becomes part of the definition, what is not becomes a blob.

    The same values give the same definition, whatever their order. Files are read here: call it in a thread.

    Raises:
        BadDefinition: A name, value or file can't be an input.
    """
    made = Prepared()
    for name in sorted(values):
        made.add(name, values[name], where=where, absolute=absolute)
        if len(made.refs) > limits.INPUTS:
            raise BadDefinition(f"more than {limits.INPUTS} files: pack them into an archive", field=where)
    return made


def name_files(files: Mapping[str, str | os.PathLike[str]] | Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """Input names for files and folders: as given in a mapping, otherwise the last part of each path.

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
            raise BadDefinition(f"two files have the name '{name}': name one of them yourself", field="inputs")
        named[name] = path
    return named


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadDefinition("this text has a lone surrogate, which UTF-8 can't write", field=where) from error


def _unreadable(path: Path, where: str, error: OSError) -> BadDefinition:
    return BadDefinition(f"'{path}' can't be read: {error.strerror or error}", field=where)


def _files(path: Path, where: str) -> Iterator[tuple[str, Path]]:
    """The regular files at a path, with their names below it ('' for the path itself)."""
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
                raise BadDefinition(f"'{entry}' links to a folder that it is in", field=where)
            yield from _walk(entry, f"{name}/", (*above, place), where)
        else:
            raise BadDefinition(f"'{entry}' is neither a file nor a folder", field=where)
