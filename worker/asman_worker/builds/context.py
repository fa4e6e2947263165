"""Packs the files of a build as one tar for the engine, from archives that are never unpacked to disk."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from asman_shared.dockerignore import DockerIgnore
from asman_shared.errors import BadDefinition, ExecutionError

from .archives import Bounds, Entry, entries, reading
from .dockerfile_lines import LARGEST

OWN_DOCKERFILE: Final = ".asman.Dockerfile"
"""Name of the Dockerfile that the worker writes for the engine."""
_IGNORE: Final = ".dockerignore"
_IGNORE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """An archive that holds a part of the files.

    Attributes:
        archive: The archive.
        prefix: The folder for its contents, such as a submodule's; empty for the root.
    """

    archive: Path
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The part of the files to build, and the Dockerfile for it.

    Attributes:
        subfolder: The folder to build, empty for all.
        filename: The Dockerfile's path, in that folder or otherwise from the root of the files.
        dockerfile: The text of a Dockerfile, used instead of a file.
        unwrap: Whether to skip a single folder around all files, as in archives of code hosts.
    """

    subfolder: str = ""
    filename: str = ""
    dockerfile: str = ""
    unwrap: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """The result of packing a build.

    Attributes:
        text: The Dockerfile's text, which is in the tar only as a file like others.
        ignore: The text of its ``.dockerignore``; empty for none.
        content: A hash of all names, modes, links and bytes.
    """

    text: str
    ignore: str
    content: str


def pack(
    parts: Sequence[Part], wanted: Wanted, bounds: Bounds, out: IO[bytes], stopped: Callable[[], bool] = lambda: False
) -> Context:
    """Writes the tar of a build; blocks.

    Args:
        parts: The archives with the files, in order; none for a Dockerfile alone.
        wanted: The part of the files to build.
        bounds: The limits on the contents of each archive.
        out: Path of the tar.
        stopped: Called at intervals; true ends the packing.

    Raises:
        ExecutionError: An archive can't be used, or the folder or the Dockerfile is not in it.
        BadDefinition: A path of the build leads out of its files, or a pattern of its ``.dockerignore`` is wrong.
    """
    subfolder = relative(wanted.subfolder, "definition.build.buildContext")
    filename = relative(wanted.filename, "definition.build.filename") or "Dockerfile"
    found = _survey(parts, wanted, subfolder, filename, bounds, stopped)
    base = f"{found.wrapped}{subfolder}/" if subfolder else found.wrapped
    if subfolder and not found.has_folder:
        raise ExecutionError(f"there is no folder '{subfolder}' in the build's files")
    text = wanted.dockerfile or (found.inside if found.inside is not None else found.outside)
    if text is None:
        raise ExecutionError(f"there is no '{filename}' in the build's files")
    ignore = DockerIgnore(found.ignore)
    digest = hashlib.sha256()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for part, entry in _all(parts, bounds, stopped):
            full = f"{part.prefix}{entry.name}"
            if not full.startswith(base) or (inner := full[len(base) :]) == "":
                continue
            if ignore.drops(inner):
                continue
            _add(tar, entry, inner, f"{part.prefix}{entry.target}", base, digest)
        digest.update(f"dockerfile\0{len(text)}\0{text}".encode("utf-8", "surrogatepass"))
    return Context(text, found.ignore, digest.hexdigest())


def complete(tar: Path, dockerfile: str, ignore: str, added: Sequence[tuple[str, Path]]) -> None:
    """Adds the Dockerfile for the engine and fetched files to the tar of a build; blocks.

    The engine leaves a Dockerfile that its ``.dockerignore`` names out of the files that a build can copy, so the one
    that is added is named there.

    Args:
        tar: The tar.
        dockerfile: The text of the Dockerfile.
        ignore: The text of the ``.dockerignore`` that is in the tar; empty for none.
        added: Name in the tar and place of each fetched file.
    """
    left_out = [ignore.removesuffix("\n"), OWN_DOCKERFILE] if ignore else [OWN_DOCKERFILE, _IGNORE]
    with tarfile.open(tar, mode="a", format=tarfile.PAX_FORMAT, errors="surrogateescape") as out:
        _add_text(out, OWN_DOCKERFILE, dockerfile)
        _add_text(out, _IGNORE, "\n".join([*left_out, ""]))
        for name, path in added:
            # Folders first, so that nothing of the same name in the files leads elsewhere.
            for end in range(1, name.count("/") + 1):
                folder = tarfile.TarInfo("/".join(name.split("/")[:end]))
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                out.addfile(folder)
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o600
            with path.open("rb") as content:
                out.addfile(info, content)


def relative(path: str, field: str) -> str:
    """Returns an untrusted path inside the files of a build, cleaned; empty for their root.

    Raises:
        BadDefinition: The path leads out of the files.
    """
    if path.startswith("/") or "\0" in path or "\\" in path:
        raise BadDefinition(f"'{path[:80]}' is not a path inside the build's files", field=field)
    kept = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in kept or len(path) > 1024:
        raise BadDefinition(f"'{path[:80]}' leads out of the build's files", field=field)
    return "/".join(kept)


@dataclass(slots=True)
class _Survey:
    """The findings of a first pass over the files."""

    wrapped: str = ""
    has_folder: bool = False
    inside: str | None = None
    outside: str | None = None
    ignore: str = ""


def _all(parts: Sequence[Part], bounds: Bounds, stopped: Callable[[], bool]) -> Iterable[tuple[Part, Entry]]:
    for part in parts:
        for entry in entries(part.archive, bounds, stopped):
            yield part, entry


def _survey(
    parts: Sequence[Part],
    wanted: Wanted,
    subfolder: str,
    filename: str,
    bounds: Bounds,
    stopped: Callable[[], bool],
) -> _Survey:
    """Finds the Dockerfile and the ignore rules, anywhere in the archives."""
    found = _Survey()
    if wanted.unwrap:
        found.wrapped = _wrapper(parts, bounds, stopped)
    root = found.wrapped
    base = f"{root}{subfolder}/" if subfolder else root
    found.has_folder = not subfolder
    for part, entry in _all(parts, bounds, stopped):
        name = f"{part.prefix}{entry.name}"
        if not found.has_folder and (name.startswith(base) or (name == base[:-1] and entry.kind == "folder")):
            found.has_folder = True
        if name == base + filename:
            found.inside = _text(entry, filename, LARGEST)
        elif name == root + filename:
            found.outside = _text(entry, filename, LARGEST)
        elif name == base + _IGNORE and entry.kind == "file":
            found.ignore = _text(entry, _IGNORE, _IGNORE_BYTES)
    return found


def _wrapper(parts: Sequence[Part], bounds: Bounds, stopped: Callable[[], bool]) -> str:
    """Returns the single folder around all files, with a slash; empty when there is none."""
    tops: set[str] = set()
    for _, entry in _all(parts, bounds, stopped):
        top, slash, _ = entry.name.partition("/")
        tops.add(f"{top}/" if slash or entry.kind == "folder" else top)
        if len(tops) > 1:
            return ""
    only = next(iter(tops), "")
    return only if only.endswith("/") else ""


def _text(entry: Entry, name: str, most: int) -> str:
    if entry.kind != "file":
        # A link may lead anywhere: the engine follows it inside the context, but this process does not.
        raise ExecutionError(f"'{name}' is not a file; links are not followed")
    if entry.size > most:
        raise ExecutionError(f"'{name}' is larger than {most} bytes")
    with reading(entry.content, entry.size) as pieces:
        return b"".join(pieces).decode("utf-8", "surrogateescape")


def _add(tar: tarfile.TarFile, entry: Entry, name: str, linked: str, base: str, digest: hashlib._Hash) -> None:
    info = tarfile.TarInfo(name)
    info.mode = entry.mode
    said = f"{entry.kind}\0{name}\0{entry.mode:o}\0{entry.target}\0{entry.size}\0"
    digest.update(said.encode("utf-8", "surrogateescape"))
    if entry.kind == "folder":
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif entry.kind == "link":
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
        tar.addfile(info)
    elif entry.kind == "hardlink":
        if not linked.startswith(base):
            raise ExecutionError(f"'{name}' is linked to a file outside of the folder that is built")
        info.type, info.linkname = tarfile.LNKTYPE, linked[len(base) :]
        tar.addfile(info)
    else:
        info.size = entry.size
        with reading(entry.content, entry.size) as pieces:
            tar.addfile(info, _Hashed(iter(pieces), digest))


class _Hashed(io.RawIOBase):
    """Presents pieces as a file that is read once, and hashes them."""

    def __init__(self, pieces: Iterable[bytes], digest: hashlib._Hash) -> None:
        self._pieces = iter(pieces)
        self._digest = digest
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Returns up to ``size`` bytes; fewer only at the end."""
        made = bytearray()
        while size < 0 or len(made) < size:
            if not self._left:
                piece = next(self._pieces, b"")
                if not piece:
                    break
                self._digest.update(piece)
                self._left = piece
            take = len(self._left) if size < 0 else size - len(made)
            made += self._left[:take]
            self._left = self._left[take:]
        return bytes(made)


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ExecutionError("the Dockerfile has a character that can't be written") from error
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
