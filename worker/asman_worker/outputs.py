"""What a job left in its outputs folder, taken away by the hub's rules; nothing in there is trusted."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from asman_shared import limits
from asman_shared.definition import DataRef, check_name
from asman_shared.errors import BadDefinition, ExecutionError
from asman_shared.messages import OutputFile, Result
from asman_shared.states import Phase
from asman_shared.units import MIB, format_size

from .blobs import Blobs
from .executor import Reporter

_CHUNK: Final = MIB
_DEPTH: Final = 64
_SKIPPED: Final = 1000
_PROGRESS_SECONDS: Final = 0.5


class _ChangedWhileRead(OSError):
    """A file is not what it was when it was found."""


@dataclass(slots=True)
class Found:
    """The contents of an outputs folder.

    Attributes:
        files: Regular files by name.
        skipped: What is no output, and why.
    """

    files: dict[str, OutputFile] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def skip(self, name: str, why: str) -> None:
        """Notes something that is no output; the first thousand by name."""
        if len(self.skipped) < _SKIPPED:
            self.skipped[_printable(name)] = why


class Collector:
    """Takes outputs away.

    Args:
        blobs: Where they go.
        most: Most bytes of all outputs of one job.
    """

    def __init__(self, blobs: Blobs, *, most: int) -> None:
        self._blobs = blobs
        self._most = most

    async def collect(self, folder: Path, report: Reporter) -> Result:
        """Stores every regular file of a folder.

        Raises:
            ExecutionError: They could not be read or stored.
            Unavailable: The hub could not take them.
        """
        found = await asyncio.to_thread(scan, folder, self._most)
        files = [
            (output.sha256, output.size, partial(_reopen, folder, name, output)) for name, output in found.files.items()
        ]
        total = sum(size for _, size, _ in files)
        done = 0
        loop = asyncio.get_running_loop()
        said = loop.time()

        def progress(size: int) -> None:
            nonlocal done, said
            done += size
            if loop.time() - said > _PROGRESS_SECONDS:
                said = loop.time()
                report.phase(Phase.UPLOADING, done, total, "bytes")

        try:
            await self._blobs.send(files, progress)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        except ExecutionError as error:
            raise ExecutionError(f"an output could not be stored: {error.message}", fault="hub") from error
        return Result(outputs=found.files, skipped=found.skipped)


def scan(folder: Path, most: int) -> Found:
    """Finds and hashes the regular files of a folder; blocks.

    Links are never followed, and special files never opened for real.

    Args:
        folder: An outputs folder.
        most: Most bytes of all files.
    """
    found = Found()
    total = 0
    for name, entry_stat in _walk(folder, found):
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
            total += output.size
    return found


def _walk(folder: Path, found: Found) -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file, by name; in the order of names, so that two runs agree."""
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
            if stat.S_ISREG(entry_stat.st_mode):
                yield name, entry_stat
            elif not stat.S_ISDIR(entry_stat.st_mode):
                found.skip(name, _kind(entry_stat.st_mode))
            elif depth >= _DEPTH:
                found.skip(name, f"deeper than {_DEPTH} folders")
            else:
                pending.append((f"{name}/", depth + 1))


def _list(folder: Path, prefix: str) -> list[tuple[str, os.stat_result]]:
    """What a folder holds, with links seen as links."""
    at = _open_folder(folder, prefix)
    try:
        with os.scandir(at) as entries:
            return sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
    finally:
        os.close(at)


def _open_folder(folder: Path, prefix: str) -> int:
    """Opens a folder inside the outputs, part by part, so that no link is ever gone through."""
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
    """Opens a regular file without going through a link and without waiting, as a FIFO would make one."""
    prefix, _, base = name.rpartition("/")
    at = _open_folder(folder, prefix)
    try:
        return os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _describe(folder: Path, name: str, before: os.stat_result) -> OutputFile:
    """Reads a file once for its hash.

    Raises:
        OSError: It can't be read, or changes meanwhile.
    """
    file = _open_file(folder, name)
    try:
        if not _same(os.fstat(file), before):
            raise _ChangedWhileRead("it changed while it was read")
        digest = hashlib.sha256()
        size = 0
        while data := os.read(file, _CHUNK):
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


def _reopen(folder: Path, name: str, output: OutputFile) -> int:
    """Opens an output again to send it; the hub checks its hash."""
    file = _open_file(folder, name)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_size != output.size:
        os.close(file)
        raise ExecutionError(f"the output '{name}' changed while it was stored", fault="job")
    return file


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
    """A name that can travel: what is not UTF-8 or can't be seen is written as an escape."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)
    return text if len(text) <= 200 else text[:199] + "…"
