"""Finds the files in a job's outputs folder and uploads them; the folder's contents are not trusted."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from asman_shared import limits
from asman_shared.definition import DataRef
from asman_shared.definition_check import check_name
from asman_shared.errors import AsmanError, BadDefinition, Conflict, ExecutionError
from asman_shared.globs import Globs
from asman_shared.messages import OutputFile, Result
from asman_shared.states import Phase
from asman_shared.transfer import Blob
from asman_shared.transfer.source import CHUNK, FileState, file_state
from asman_shared.units import format_size

from ..execution.throttled_progress import PhaseListener, ThrottledProgress
from ..files.blobs import Blobs

_DEPTH: Final = 64
"""Deepest level of folders that is searched."""
_SKIPPED: Final = 1000
"""Number of skipped files that a result lists."""


class _ChangedWhileRead(OSError):
    """A file changed after it was found."""


@dataclass(slots=True)
class Found:
    """The contents of an outputs folder.

    Attributes:
        files: Regular files by name.
        states: The state of each file when it was hashed.
        skipped: Reason by name, for entries that are not collected.
    """

    files: dict[str, OutputFile] = field(default_factory=dict)
    states: dict[str, FileState] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def skip(self, name: str, why: str) -> None:
        """Records an entry that is not collected; only the first thousand are kept."""
        if len(self.skipped) < _SKIPPED:
            self.skipped[_printable(name)] = why


class Collector:
    """Uploads the outputs of attempts.

    Args:
        blobs: Stores the files.
        most: Maximum size of all outputs of one job, in bytes.
    """

    def __init__(self, blobs: Blobs, *, most: int) -> None:
        self._blobs = blobs
        self._most = most

    async def collect(self, folder: Path, report: PhaseListener, patterns: Sequence[str] | None = None) -> Result:
        """Stores the regular files of a folder.

        This waits while the hub is slow or away; the caller sets a timeout.

        Args:
            folder: An outputs folder.
            report: Receives the progress.
            patterns: Patterns of the names to collect; None for all.

        Raises:
            ExecutionError: The files can't be read, or the hub refuses them.
        """
        found = await asyncio.to_thread(scan, folder, self._most, patterns)
        files = [
            Blob(
                output.sha256,
                output.size,
                partial(_open_file, folder, name),
                f"the output '{name}'",
                found.states[name],
            )
            for name, output in found.files.items()
        ]
        told = ThrottledProgress(report, Phase.UPLOADING, sum({blob.sha256: blob.size for blob in files}.values()))
        try:
            await self._blobs.send(files, told.moved, told.moved)
        except ExecutionError:
            raise
        except Conflict as error:
            raise ExecutionError(f"the outputs could not be stored: {error.message}", fault="job") from error
        except AsmanError as error:
            raise ExecutionError(f"the outputs could not be stored: {error.message}", fault="hub") from error
        return Result(outputs=found.files, skipped=found.skipped)


def scan(folder: Path, most: int, patterns: Sequence[str] | None = None) -> Found:
    """Finds and hashes the regular files of a folder; blocks.

    Links are never followed, and special files are never opened for reading.

    Args:
        folder: An outputs folder.
        most: Maximum size of all files, in bytes.
        patterns: Patterns of the names to collect, as `asman_shared.globs` defines them; None for all.
    """
    found = Found()
    total = 0
    globs = Globs(patterns)
    for name, entry_stat in _walk(folder, found, globs):
        if len(found.files) >= limits.INPUTS:
            found.skip(name, f"more than {limits.INPUTS} files; pack them into an archive")
            continue
        if total + entry_stat.st_size > most:
            found.skip(name, f"more than {format_size(most)} of outputs")
            continue
        try:
            check_name(name, field="outputs")
            name.encode()
            output = _describe(folder, name, entry_stat)
        except BadDefinition as error:
            found.skip(name, error.message)
        except UnicodeEncodeError:
            found.skip(name, "its name is not UTF-8")
        except OSError as error:
            found.skip(name, f"it can't be read: {error.strerror or error}")
        else:
            found.files[name] = output
            found.states[name] = file_state(entry_stat)
            total += output.size
    for pattern in globs.unused:
        found.skip(pattern, "no file matches this pattern")
    return found


def _walk(folder: Path, found: Found, globs: Globs) -> Iterator[tuple[str, os.stat_result]]:
    """Yields the regular files to collect; sorted within each folder, so that two runs agree."""
    pending = [("", 0)]
    while pending:
        prefix, depth = pending.pop()
        try:
            stats = _list(folder, prefix)
        except OSError as error:
            found.skip(prefix, f"it can't be read: {error.strerror or error}")
            continue
        for base, entry_stat in stats:
            name = f"{prefix}{base}"
            if stat.S_ISDIR(entry_stat.st_mode):
                if depth >= _DEPTH:
                    found.skip(name, f"deeper than {_DEPTH} folders")
                else:
                    pending.append((f"{name}/", depth + 1))
            elif not globs.takes(name):
                continue
            elif stat.S_ISREG(entry_stat.st_mode):
                yield name, entry_stat
            else:
                found.skip(name, _kind(entry_stat.st_mode))


def _list(folder: Path, prefix: str) -> list[tuple[str, os.stat_result]]:
    """Lists a folder's entries, without following links."""
    at = _open_folder(folder, prefix)
    try:
        with os.scandir(at) as entries:
            return sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
    finally:
        os.close(at)


def _open_folder(folder: Path, prefix: str) -> int:
    """Opens a folder inside the outputs, part by part, so that no link is followed."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    for part in prefix.split("/"):
        if part:
            try:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            finally:
                os.close(at)
            at = inner
    return at


def _open_file(folder: Path, name: str) -> int:
    """Opens a regular file without following links, and without blocking as a FIFO would."""
    prefix, _, base = name.rpartition("/")
    at = _open_folder(folder, prefix)
    try:
        return os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _describe(folder: Path, name: str, before: os.stat_result) -> OutputFile:
    """Reads a file once for its hash.

    Raises:
        OSError: The file can't be read, or changes while it is read.
    """
    file = _open_file(folder, name)
    try:
        if not _same(os.fstat(file), before):
            raise _ChangedWhileRead("it changed while it was read")
        digest = hashlib.sha256()
        size = 0
        while data := os.read(file, CHUNK):
            digest.update(data)
            size += len(data)
            if size > before.st_size:
                break
        if size != before.st_size or not _same(os.fstat(file), before):
            raise _ChangedWhileRead("it changed while it was read")
    finally:
        os.close(file)
    sha256 = digest.hexdigest()
    return OutputFile(
        ref=DataRef(sha256, type="key"),
        size=size,
        sha256=sha256,
        media_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
        mode=stat.S_IMODE(before.st_mode) & 0o777,
    )


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino, one.st_mode, one.st_size, one.st_mtime_ns) == (
        other.st_dev,
        other.st_ino,
        other.st_mode,
        other.st_size,
        other.st_mtime_ns,
    )


def _kind(mode: int) -> str:
    for test, kind in (
        (stat.S_ISLNK, "a link; links are not followed"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISCHR, "a device"),
    ):
        if test(mode):
            return kind
    return "not a regular file"


def _printable(name: str) -> str:
    """Makes a name encodable: bytes that are not UTF-8 and unprintable characters become escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)
    return text if len(text) <= 200 else text[:199] + "…"
