"""Writes a job's inputs and config files into the attempt's folder."""

from __future__ import annotations

import asyncio
import os
import posixpath
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asman_shared.definition import DataRef
from asman_shared.definition_check import base64_bytes, check_name, in_inputs, volume_of
from asman_shared.errors import AsmanError, BadDefinition, ExecutionError, Unauthentic
from asman_shared.identity import json_bytes
from asman_shared.messages import BlobLink
from asman_shared.places.urls import Place, is_place, place_of, within
from asman_shared.states import Phase
from asman_shared.transfer import Progress

from ..execution.folders import JobFolder, resolve
from ..execution.interface import AttemptSpec
from ..execution.throttled_progress import PhaseListener, ThrottledProgress
from ..files.blobs import Blobs
from ..files.places import Places

_PROGRAMS: Final = (b"#!", b"\x7fELF")
"""Beginnings of files that can be executed. A definition has no permissions, so the bytes alone must say that."""
_INLINE: Final = (None, "utf8", "json", "base64")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One file to create.

    Attributes:
        label: Name of the file in errors.
        ref: Source of its contents.
        path: Path of the file.
    """

    label: str
    ref: DataRef
    path: Path


class Stager:
    """Stages the files of attempts.

    Args:
        blobs: Downloads blobs and URLs.
        most: Maximum size of one file, or of one folder of a place, in bytes.
        places: The places outside of the hub that this worker reads.
    """

    def __init__(self, blobs: Blobs, *, most: int, places: Places | None = None) -> None:
        self._places = places or Places()
        self._blobs = blobs
        self._most = most

    def mount(self, spec: AttemptSpec) -> None:
        """Notes in the attempt what is to be mounted: config files that are in no volume, and shared folders.

        Raises:
            ExecutionError: A shared folder can't be mounted, or there is none.
            BadDefinition: A name would escape the folder.
        """
        volumes = spec.definition.volumes
        spec.mounts.clear()
        spec.shared.clear()
        for label, name, ref, mountable in _files(spec):
            if mountable and name.startswith("/") and not volume_of(name, volumes):
                if (place := _place_in(ref)) is not None and place.kind == "file":
                    root, writable = self._places.folders.root_of(place.path)
                    if place.folder and (name == place.path or place.path == root):
                        spec.shared[root if name == place.path else name] = (root, writable)
                        continue
                spec.mounts[check_name(name, field=label, absolute=True)] = spec.folder.config / str(len(spec.mounts))
        for target, (root, _) in spec.shared.items():
            for other in (*spec.mounts, *(volumes or ()), *(each for each in spec.shared if each != target)):
                if within(other, target) or within(target, other):
                    raise ExecutionError(
                        f"'{other[:200]}' can't be where the shared folder {root} is mounted: choose another path"
                    )

    async def stage(self, spec: AttemptSpec, report: PhaseListener | None = None) -> dict[str, Path]:
        """Creates the attempt's folder and its files.

        Args:
            spec: The attempt.
            report: Receives the progress.

        Returns:
            Config files to be mounted, by their absolute path; they are in the attempt, too.

        Raises:
            ExecutionError: A file can't be read; the error names it.
            BadDefinition: A name would escape the folder.
        """
        folder = spec.folder
        wanted: list[_Wanted] = []
        self.mount(spec)
        await asyncio.to_thread(self._lay_out, spec, wanted)
        remote = [item for item in wanted if item.ref.type not in _INLINE]
        if remote:
            await self._bring_all(folder, remote, report)
        return spec.mounts

    def _lay_out(self, spec: AttemptSpec, wanted: list[_Wanted]) -> None:
        """Creates folders and inline files; runs in a thread."""
        volumes = spec.definition.volumes
        spec.folder.make(volumes or ())
        for label, name, ref, mountable in _files(spec):
            if mountable and volume_of(name, volumes):
                inside = check_name(name, field=label, absolute=True).removeprefix("/")
                path = resolve(spec.folder.outputs, inside, field=label, mode=0o777)
            elif mountable and name.startswith("/"):
                target = check_name(name, field=label, absolute=True)
                if target not in spec.mounts:
                    continue  # it is in a shared folder
                path = spec.mounts[target]
            else:
                path = resolve(spec.folder.inputs, name, field=label)
            item = _Wanted(label, ref, path)
            wanted.append(item)
            if ref.type in _INLINE:
                _write(path, _inline_bytes(item))
            elif (place := _place_in(ref)) is not None and place.folder:
                path.mkdir()
                path.chmod(0o777 if volume_of(name, volumes) else 0o755)
            else:
                # Reserves the name, so that a second file of the same name is an error.
                _write(path, b"")
        _lay_out_work(spec)

    async def _bring_all(self, folder: JobFolder, wanted: list[_Wanted], report: PhaseListener | None) -> None:
        keys = [item.ref.value for item in wanted if item.ref.type == "key"]
        try:
            links = await self._blobs.links(keys) if keys else {}
        except AsmanError as error:
            label = next((item.label for item in wanted if item.ref.value in error.message), "an input")
            raise ExecutionError(f"{label} can't be read: {error.message}", fault=_fault(error, True)) from error
        told = ThrottledProgress(report, Phase.STAGING, sum(links[key].size for key in keys)) if report else None
        try:
            async with asyncio.TaskGroup() as tasks:
                for item in wanted:
                    link = links[item.ref.value] if item.ref.type == "key" else None
                    tasks.create_task(self._bring(folder, item, link, told.moved if told else None))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _bring(self, folder: JobFolder, item: _Wanted, link: BlobLink | None, progress: Progress | None) -> None:
        arriving = folder.root / f"arriving-{secrets.token_hex(8)}"
        if (place := _place_in(item.ref)) is not None:
            await self._copy(place, item, arriving)
            return
        try:
            if link is None:
                await self._blobs.fetch(item.ref.value, arriving, most=self._most, progress=progress)
            else:
                await self._blobs.fetch(
                    link.url,
                    arriving,
                    sha256=link.sha256,
                    size=link.size or None,
                    most=self._most,
                    progress=progress,
                )
        except AsmanError as error:
            fault = _fault(error, link is not None)
            raise ExecutionError(f"{item.label} can't be read: {error.message}", fault=fault) from error
        await asyncio.to_thread(_place, arriving, item.path)

    async def _copy(self, place: Place, item: _Wanted, arriving: Path) -> None:
        """Copies what a place has."""
        try:
            await self._places.fetch(place, item.path if place.folder else arriving, self._most)
        except ExecutionError as error:
            raise ExecutionError(f"{item.label} can't be read: {error.message}", fault=error.fault) from error
        if not place.folder:
            await asyncio.to_thread(_place, arriving, item.path)


def _place_in(ref: DataRef) -> Place | None:
    return place_of(ref.value, "url") if ref.type == "url" and is_place(ref.value) else None


def _lay_out_work(spec: AttemptSpec) -> None:
    """Creates the folders in volumes that commands begin or write in."""
    definition = spec.definition
    for part in (definition, *(definition.steps or ())):
        folders = [path.rpartition("/")[0] for path in (part.stdout, part.stderr) if path]
        if part.workdir and part.workdir.startswith("/") and ".." not in part.workdir.split("/"):
            folders.append(posixpath.normpath(part.workdir))
        for folder in folders:
            if volume_of(folder, definition.volumes):
                spec.folder.make_inside(folder)


def _files(spec: AttemptSpec) -> Iterator[tuple[str, str, DataRef, bool]]:
    """Yields the files of a job: label for errors, name, ref, and True if it may be mounted at that name."""
    for name, ref in (spec.definition.inputs or {}).items():
        yield f"the input '{name}'", name, ref, False
    for name, ref in (spec.definition.config_files or {}).items():
        label = f"the config file '{name}'"
        yield label, in_inputs(check_name(name, field=label, absolute=True)), ref, True


def _inline_bytes(item: _Wanted) -> bytes:
    value = item.ref.value
    if item.ref.type == "json":
        return json_bytes(value)
    if not isinstance(value, str):
        raise ExecutionError(f"{item.label} has a value that is not text")
    if item.ref.type == "base64":
        try:
            return base64_bytes(value, item.label)
        except BadDefinition as error:
            raise ExecutionError(f"{item.label} is not base64") from error
    return value.encode("utf-8", "surrogatepass")


def _write(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(file, "wb", closefd=True) as out:  # noqa: PTH123 - from a descriptor
        out.write(data)
        os.fchmod(file, 0o755 if data.startswith(_PROGRAMS) else 0o644)


def _place(arrived: Path, path: Path) -> None:
    """Moves a file that was fetched to its place; the same bytes always have the same permissions."""
    with arrived.open("rb") as file:
        program = file.read(max(map(len, _PROGRAMS))).startswith(_PROGRAMS)
    arrived.chmod(0o755 if program else 0o644)
    arrived.replace(path)


def _fault(error: AsmanError, stored: bool) -> str:
    """Returns who is at fault for an unreadable file; ``stored`` is True for a file that the hub stores."""
    if isinstance(error, ExecutionError):
        return error.fault
    return "hub" if stored and (error.retry or isinstance(error, Unauthentic)) else "job"
