"""Reads the entries of an archive: tar (plain, gz, bz2, xz) or zip, detected by content; entries are not trusted.

Entries are read one by one and are never written to disk under their own names. Names are cleaned, links stay links,
and entries other than files, folders and links are refused. The limits are checked while bytes are unpacked, so a small
archive can't grow without bound.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from asman_shared import limits
from asman_shared.errors import ExecutionError
from asman_shared.units import KIB, format_size

_CHUNK: Final = 256 * KIB
_HEAD: Final = 512
_WINDOWS: Final = 0
"""The system of a zip's entry that was made on Windows (APPNOTE 4.4.2)."""
_BROKEN: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on the contents of an archive.

    Attributes:
        size: Largest size of all files, in bytes.
        entries: Largest number of files, folders and links.
    """

    size: int
    entries: int = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link in an archive.

    Attributes:
        name: The relative path, of plain parts.
        kind: The kind of entry.
        mode: Permission bits; only the right to execute matters.
        size: Size of a file, in bytes.
        target: Target of a link, which is never followed here. A hard link's target is a name in the same archive.
        content: The bytes of a file; they must be read before the next entry.
    """

    name: str
    kind: Literal["file", "folder", "link", "hardlink"]
    mode: int = 0o644
    size: int = 0
    target: str = ""
    content: IO[bytes] | None = None


def entries(path: Path, bounds: Bounds, stopped: Callable[[], bool] = lambda: False) -> Iterator[Entry]:
    """Yields the contents of an archive, in its order; blocks.

    Args:
        path: The archive.
        bounds: The limits on the contents.
        stopped: Called between entries; true ends the reading.

    Raises:
        ExecutionError: It is not an archive, is broken, or contains a forbidden entry or too much.
    """
    count = size = 0
    with path.open("rb") as file:
        try:
            for entry in _opened(file):
                if stopped():
                    raise ExecutionError("unpacking was stopped", fault="worker")
                count += 1
                size += entry.size
                if count > bounds.entries:
                    raise ExecutionError(f"the archive has more than {bounds.entries} entries")
                if size > bounds.size:
                    raise ExecutionError(f"the archive holds more than {format_size(bounds.size)}")
                yield entry
        except _BROKEN as error:
            raise ExecutionError(f"the archive is broken: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            # The error of bz2 for bytes that are not bz2.
            raise ExecutionError(f"the archive is broken: {error}") from error


def _opened(file: IO[bytes]) -> Iterator[Entry]:
    head = file.read(_HEAD)
    file.seek(0)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        yield from _zip(file)
    elif head.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=file) as plain:
            yield from _tar(plain)
    elif head.startswith(b"BZh"):
        with bz2.BZ2File(file) as plain:
            yield from _tar(plain)
    elif head.startswith(b"\xfd7zXZ\0"):
        with lzma.LZMAFile(file) as plain:
            yield from _tar(plain)
    elif head[257:262] == b"ustar" or (len(head) == _HEAD and not any(head)):
        yield from _tar(file)
    else:
        raise ExecutionError("the downloaded file is not an archive: a build needs a tar (plain, gz, bz2, xz) or a zip")


def _tar(file: IO[bytes] | gzip.GzipFile) -> Iterator[Entry]:
    with tarfile.open(fileobj=file, mode="r|", errorlevel=2) as tar:
        for member in tar:
            name = _clean(member.name)
            if name == "":
                continue
            mode = 0o755 if member.mode & 0o111 else 0o644
            if member.isdir():
                yield Entry(name, "folder", 0o755)
            elif member.isreg():
                yield Entry(name, "file", mode, member.size, content=tar.extractfile(member))
            elif member.issym():
                yield Entry(name, "link", 0o777, target=_target(name, member.linkname))
            elif member.islnk():
                yield Entry(name, "hardlink", mode, target=_clean(member.linkname))
            else:
                raise ExecutionError(f"the archive holds a device or a pipe: '{name}'")


def _zip(file: IO[bytes]) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as packed:
        for info in packed.infolist():
            given = _from_windows(info.filename) if info.create_system == _WINDOWS else info.filename
            name = _clean(given)
            mode = info.external_attr >> 16
            kind = stat.S_IFMT(mode)
            if name == "":
                continue
            if info.flag_bits & 1:
                raise ExecutionError(f"the archive is encrypted: '{name}'")
            if given.endswith("/"):
                yield Entry(name, "folder", 0o755)
            elif kind == stat.S_IFLNK:
                if info.file_size > limits.PATH_LENGTH:
                    raise ExecutionError(f"the link '{name}' is longer than {limits.PATH_LENGTH} bytes")
                target = packed.read(info).decode("utf-8", "replace")
                yield Entry(name, "link", 0o777, target=_target(name, target))
            elif kind in (0, stat.S_IFREG):
                # A zip states the unpacked size, and the reader enforces it.
                with packed.open(info) as content:
                    yield Entry(name, "file", 0o755 if mode & 0o111 else 0o644, info.file_size, content=content)
            else:
                raise ExecutionError(f"the archive holds a device or a pipe: '{name}'")


def _from_windows(name: str) -> str:
    """Returns a name of a zip that was made on Windows with the separators that the format demands.

    Raises:
        ExecutionError: It begins with a drive.
    """
    if name[1:2] == ":":
        raise ExecutionError(f"the archive holds an absolute name: '{name[:80]}'")
    return name.replace("\\", "/")


def _clean(name: str) -> str:
    """Returns an untrusted name as a relative path of plain parts; empty for the root itself.

    Raises:
        ExecutionError: The name leads out of the archive, or is not valid.
    """
    shown = name if len(name) <= 80 else name[:77] + "…"
    if "\0" in name or "\\" in name.split("/")[0][:3]:
        raise ExecutionError(f"the archive holds an impossible name: {shown!r}")
    if name.startswith("/"):
        raise ExecutionError(f"the archive holds an absolute name: '{shown}'")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ExecutionError(f"the archive holds a name that leads out of it: '{shown}'")
    if any(len(part.encode("utf-8", "surrogateescape")) > limits.NAME_LENGTH for part in parts):
        raise ExecutionError(f"the archive holds a name longer than {limits.NAME_LENGTH} bytes: '{shown}'")
    made = "/".join(parts)
    if len(made.encode("utf-8", "surrogateescape")) > 4 * limits.PATH_LENGTH:
        raise ExecutionError(f"the archive holds a path longer than {4 * limits.PATH_LENGTH} bytes: '{shown}'")
    return made


def _target(name: str, target: str) -> str:
    """Returns the target of a link unless it leads out of the archive step by step.

    An absolute target, such as the Python of a virtual environment, is a path in the image that is built. Nothing
    follows it before: this process never does, and the engine's builder knows no files but the build's.

    Raises:
        ExecutionError: The link leads out.
    """
    depth = name.count("/")
    if "\0" in target:
        raise ExecutionError(f"the archive holds an impossible link: '{name}'")
    if target.startswith("/"):
        return target
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            raise ExecutionError(
                f"the archive holds a link that leads out of it: '{name}'; leave it out, for example by .dockerignore"
            )
    return target


@contextmanager
def reading(content: IO[bytes] | None, size: int) -> Iterator[Iterator[bytes]]:
    """Yields the bytes of a file's entry in pieces, and checks their number."""

    def pieces() -> Iterator[bytes]:
        left = size
        while left:
            data = content.read(min(_CHUNK, left)) if content is not None else b""
            if not data:
                raise EOFError("a file ends too early")
            left -= len(data)
            yield data

    yield pieces()
