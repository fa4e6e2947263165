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
from typing import Final, Literal

from msgspec.structs import replace

from asman_shared import limits
from asman_shared.definition import DataRef, Definition
from asman_shared.definition_check import check_name
from asman_shared.errors import AsmanError, BadDefinition, Conflict, ExecutionError
from asman_shared.globs import Globs
from asman_shared.messages import OutputFile, Result
from asman_shared.states import Fault, Phase
from asman_shared.transfer import Blob
from asman_shared.transfer.source import CHUNK, FileState, file_state
from asman_shared.units import format_duration, format_size

from ..execution.throttled_progress import PhaseListener, ThrottledProgress
from ..files.blobs import Blobs
from ..files.places import Places
from .destinations import Destinations, check_destinations

_DEPTH: Final = 64
"""Deepest level of folders that is searched."""
_SKIPPED: Final = 1000
"""Number of skipped files that a result lists."""
_ASK_SECONDS: Final = 5.0
"""Longest wait for the hub to say what it stored of an upload that ran out of time, in seconds."""


class _ChangedWhileRead(OSError):
    """A file changed after it was found."""


@dataclass(slots=True)
class Found:
    """The contents of an outputs folder.

    Attributes:
        files: Regular files by name.
        states: The state of each file when it was hashed.
        skipped: Reason by name, for entries that are not collected.
        unnamed: Number of further entries that are not collected.
    """

    files: dict[str, OutputFile] = field(default_factory=dict)
    states: dict[str, FileState] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unnamed: int = 0

    def skip(self, name: str, why: str) -> None:
        """Records an entry that is not collected; the first thousand are named, the others counted."""
        if len(self.skipped) < _SKIPPED:
            self.skipped[_printable(name)] = why
        else:
            self.unnamed += 1

    def told(self) -> dict[str, str]:
        """Returns the reason by name of what is not collected, with one entry for all that are not named."""
        return {**self.skipped, "…": f"{self.unnamed} more were not kept"} if self.unnamed else self.skipped


@dataclass(frozen=True, slots=True)
class Collected:
    """The outputs of an attempt, as far as they could be stored.

    Attributes:
        result: The stored outputs, and the reason for each that is not.
        kind: ``error`` or ``timed_out`` if outputs could not be stored, otherwise empty.
        message: A sentence about those outputs.
        fault: The party at fault for them.
    """

    result: Result = field(default_factory=Result)
    kind: Literal["", "error", "timed_out"] = ""
    message: str = ""
    fault: Fault = Fault.JOB


class Collector:
    """Uploads the outputs of attempts.

    Args:
        blobs: Stores the files.
        most: Maximum size of all outputs of one job, in bytes.
        places: The places outside of the hub that this worker writes to.
    """

    def __init__(self, blobs: Blobs, *, most: int, places: Places | None = None) -> None:
        self._blobs = blobs
        self._most = most
        self._places = places or Places()

    def check(self, definition: Definition) -> None:
        """Refuses a job with outputs for places that this worker can't write to.

        Raises:
            ExecutionError: There is one.
        """
        check_destinations(definition, self._places)

    async def collect(
        self, folder: Path, report: PhaseListener, patterns: Sequence[str] | None = None, *, limit: int = 0
    ) -> Collected:
        """Stores the regular files of a folder, and names those that could not be stored.

        This waits while the hub is slow or away.

        Args:
            folder: An outputs folder.
            report: Receives the progress.
            patterns: Patterns of the names to collect, with the URLs that the files are written to; None for all.
            limit: Longest time that this may take, in milliseconds; 0 for no limit.
        """
        upload = _Upload(self._blobs, Destinations(patterns, self._places))
        try:
            async with asyncio.timeout(limit / 1000 if limit else None) as scope:
                upload.found = await asyncio.to_thread(scan, folder, self._most, upload.destinations.patterns)
                await upload.run(folder, report)
        except TimeoutError:
            if not scope.expired():
                raise
            return await upload.out_of_time(format_duration(limit))
        return upload.collected()


class _Upload:
    """The upload of one attempt's outputs.

    Attributes:
        found: The files; None until they are known.
        destinations: The places for files that are not, or not only, kept by the hub.
    """

    def __init__(self, blobs: Blobs, destinations: Destinations) -> None:
        self._blobs = blobs
        self.destinations = destinations
        self.found: Found | None = None
        self._stored: set[str] = set()
        self._failed: dict[str, AsmanError] = {}

    async def run(self, folder: Path, report: PhaseListener) -> None:
        """Stores all files that can be stored; one that fails for good does not keep the others from it."""
        assert self.found is not None  # noqa: S101 - the caller has set it
        blobs = {
            output.sha256: Blob(
                output.sha256,
                output.size,
                partial(_open_file, folder, name),
                f"the output '{name}'",
                self.found.states[name],
            )
            for name, output in self.found.files.items()
            if self.destinations.keeps(name)
        }
        told = ThrottledProgress(report, Phase.UPLOADING, sum(blob.size for blob in blobs.values()))
        pending = [list(blobs.values())] if blobs else []
        while pending:
            part = pending.pop()
            try:
                await self._blobs.send(part, told.moved, told.moved, self._stored.add)
            except AsmanError as error:
                left = [blob for blob in part if blob.sha256 not in self._stored]
                if len(left) == 1:
                    self._failed[left[0].sha256] = error
                elif left:
                    # The smaller half goes first: of many files as many as possible find room.
                    left.sort(key=lambda blob: blob.size)
                    pending += [left[len(left) // 2 :], left[: len(left) // 2]]
        files = self.found.files
        await self.destinations.write(files, partial(_open_file, folder), lambda name: files[name].size)

    async def out_of_time(self, limit: str) -> Collected:
        """Returns what was stored of an upload that was stopped at its time limit."""
        why = f"uploading (storing the outputs) took longer than its limit of {limit}"
        if self.found is None:
            result = Result(skipped={"/outputs": f"none of its files could be stored: {why}"})
            return Collected(result, "timed_out", why)
        kept = {output.sha256 for name, output in self.found.files.items() if self.destinations.keeps(name)}
        left = kept - self._stored - self._failed.keys()
        try:
            # Bytes that arrived just before the end are stored, though the hub had no time to say so.
            async with asyncio.timeout(_ASK_SECONDS):
                self._stored |= await self._blobs.stored(left)
        except (AsmanError, TimeoutError):
            pass
        return self.collected(why)

    def collected(self, late: str = "") -> Collected:
        """Returns the stored files, and names the others with their reason.

        Args:
            late: The reason for those that were neither stored nor refused.
        """
        found = self.found or Found()
        stored: dict[str, OutputFile] = {}
        first: AsmanError | None = None
        lost = 0
        places = self.destinations
        unwritten = set(places.left(found.files))
        for name, output in found.files.items():
            whys = [
                f"it could not be written to {url}: {each.message}" for url, each in places.failed.get(name, {}).items()
            ]
            first = first or next(iter(places.failed.get(name, {}).values()), None)
            if name in unwritten:
                whys.append(f"it could not be written: {late}")
            if written := places.written.get(name):
                stored[name] = replace(output, ref=DataRef(written[0], type="url"))
            if places.keeps(name):
                if output.sha256 in self._stored:
                    stored[name] = output
                else:
                    error = self._failed.get(output.sha256)
                    first = first or error
                    whys.append(f"it could not be stored: {late if error is None else error.message}")
            if whys:
                lost += 1
                found.skip(name, "; ".join(whys))
        result = Result(outputs=stored, skipped=found.told())
        if not lost:
            return Collected(result)
        why = late or (first.message if first is not None else "")
        some = f"{lost} of {len(found.files)} outputs" if len(found.files) > 1 else "the output"
        fault = Fault.JOB if isinstance(first, Conflict) else Fault.HUB
        if isinstance(first, ExecutionError):
            fault = Fault(first.fault)
        return Collected(result, "timed_out" if late else "error", f"{some} could not be stored: {why}", fault)


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
        if prefix and not stats and globs.takes(prefix.removesuffix("/")):
            found.skip(prefix, "an empty folder; only files are kept")
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
