"""Results of finished jobs, with their outputs as bytes, text, JSON or files."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from asman_shared import limits
from asman_shared import messages as m
from asman_shared.definition_check import check_name
from asman_shared.errors import AsmanError, NotFound, ProtocolError, Unauthentic
from asman_shared.identity import json_bytes
from asman_shared.transfer import Progress, Wanted

from .blobs import Blobs, about, named

_AT_ONCE = 64
"""Maximum number of outputs that are saved at the same time."""


class Output:
    """One output file of a job; its bytes stay on the hub until they are read.

    Attributes:
        name: Path of the file below ``/outputs``.
        size: In bytes.
        sha256: Hash of the bytes.
        media_type: Guessed from the name.
    """

    def __init__(self, name: str, file: m.OutputFile, blobs: Blobs) -> None:
        self.name = name
        self.size = file.size
        self.sha256 = file.sha256
        self.media_type = file.media_type
        self._file = file
        self._blobs = blobs

    def __repr__(self) -> str:
        return f"Output({self.name!r}, {self.size} bytes)"

    async def read_bytes(self) -> bytes:
        """Reads the file's bytes and verifies them by their sha256.

        Raises:
            NotFound: The bytes are no longer stored.
            Unauthentic: The bytes do not match their sha256.
            ConnectionFailed: The bytes can't be read now.
        """
        inline = self._inline()
        if inline is not None:
            return inline
        try:
            return await self._blobs.read(self._wanted())
        except AsmanError as error:
            raise named(error, f"the output '{self.name}'") from error

    async def read_text(self, encoding: str = "utf-8") -> str:
        """Reads the file as text.

        Raises:
            UnicodeDecodeError: The file is not text in this encoding.
            AsmanError: As for `read_bytes`.
        """
        return (await self.read_bytes()).decode(encoding)

    async def json(self) -> Any:
        """Reads the file as a JSON value.

        Raises:
            ValueError: The file does not hold JSON.
            AsmanError: As for `read_bytes`.
        """
        return json.loads(await self.read_bytes())

    async def save(self, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
        """Saves the output as a file, or in a folder under the last part of its name; never leaves a partial file.

        Args:
            path: The file or an existing folder; missing parent folders are created.
            progress: Called with the number of bytes received since the last call; negative when some have to be
                received again.

        Returns:
            The path of the saved file.

        Raises:
            OSError: The file can't be written.
            AsmanError: As for `read_bytes`.
        """
        to = await asyncio.to_thread(self._place, Path(path))
        return await self._save(to, progress)

    def _place(self, path: Path) -> Path:
        """Returns the path to save to, after creating its parent folders; runs in a thread."""
        to = _inside(path, self.name.rpartition("/")[2]) if path.is_dir() else path
        to.parent.mkdir(parents=True, exist_ok=True)
        return to

    async def _save(self, to: Path, progress: Progress | None, link: m.BlobLink | None = None) -> Path:
        inline = self._inline()
        if inline is not None:
            await asyncio.to_thread(_write, to, inline, self.executable)
            return to
        try:
            await self._blobs.save(self._wanted(link), to, progress, executable=self.executable)
        except AsmanError as error:
            raise named(error, f"the output '{self.name}'") from error
        return to

    @property
    def executable(self) -> bool:
        """True if the file is a program; no other permission bit of the job's file is kept."""
        return bool(self._file.mode & 0o100)

    @property
    def key(self) -> str | None:
        """Key of the file in the hub's store, or None if it is not stored there."""
        return self.sha256 if self._file.ref.type == "key" else None

    def _wanted(self, link: m.BlobLink | None = None) -> Wanted:
        ref = self._file.ref
        if ref.type != "url":
            return self._blobs.wanted(self.sha256, size=self.size, link=link)

        return self._blobs.named_by_a_result(str(ref.value), self.sha256, self.size)

    def _inline(self) -> bytes | None:
        """Returns the bytes if the result itself holds them."""
        ref = self._file.ref
        if ref.type in ("key", "url"):
            return None
        try:
            if ref.type == "base64":
                data = base64.b64decode(ref.value, validate=True)
            elif ref.type == "json":
                data = json_bytes(ref.value)
            else:
                data = str(ref.value).encode()
        except (binascii.Error, ValueError, TypeError) as error:
            raise ProtocolError(f"the output '{self.name}' can't be read: {error}") from error
        if ref.type != "json" and hashlib.sha256(data).hexdigest() != self.sha256:
            raise Unauthentic(f"the output '{self.name}' does not match its sha256")
        return data


class Outputs(Mapping[str, Output]):
    """A job's outputs by name."""

    def __init__(self, result: m.Result, blobs: Blobs) -> None:
        self._outputs = {name: Output(name, file, blobs) for name, file in sorted(result.outputs.items())}

    def __getitem__(self, name: str) -> Output:
        try:
            return self._outputs[name]
        except KeyError:
            there = ", ".join(list(self._outputs)[:10]) or "none"
            raise NotFound(f"the job has no output '{name}'; it has: {there}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._outputs

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


class JobResult:
    """The verdict and the outputs of a finished job.

    Attributes:
        job: The job's id.
        verdict: The job's verdict.
        exit_code: Exit code of the container, or None if it did not run to its end.
        outputs: The output files by name.
        skipped: Files in ``/outputs`` that were not kept, with the reason for each.
        phases: Duration of each phase, in milliseconds.
        image_digest: Digest of the image that ran.
        worker: The worker that ran the job.
    """

    def __init__(self, job: str, verdict: m.Verdict, result: m.Result, blobs: Blobs) -> None:
        self.job = job
        self.verdict = verdict
        self.exit_code = verdict.exit_code
        self.outputs: Outputs = Outputs(result, blobs)
        self._blobs = blobs
        self.skipped = result.skipped
        self.phases = result.phases
        self.image_digest = result.image_digest
        self.worker = result.worker

    @property
    def ok(self) -> bool:
        """True if the container ran and exited with 0."""
        return self.verdict.ok

    async def save_outputs(self, folder: str | os.PathLike[str], progress: Progress | None = None) -> list[Path]:
        """Saves all outputs in a folder, under their names.

        The job chose the names: a name that would leave the folder is refused before anything is written.

        Raises:
            BadDefinition: The name of an output would leave the folder.
            OSError: A file can't be written.
            AsmanError: As for `Output.read_bytes`.
        """
        places = await asyncio.to_thread(self._places, Path(folder))
        same: dict[tuple[str | None, str], list[_Place]] = {}
        for output, to in places:
            same.setdefault((output.key, "" if output.key else output.name), []).append((output, to))
        groups = list(same.values())
        turns = asyncio.Semaphore(_AT_ONCE)

        async def save(group: list[_Place], links: dict[str, m.BlobLink]) -> None:
            async with turns:
                await _save_same(group, links, progress)

        for start in range(0, len(groups), limits.BLOBS_PER_REQUEST):
            batch = groups[start : start + limits.BLOBS_PER_REQUEST]
            links = await self._links([group[0][0] for group in batch])
            try:
                async with asyncio.TaskGroup() as tasks:
                    for group in batch:
                        tasks.create_task(save(group, links))
            except* (AsmanError, OSError) as errors:
                raise errors.exceptions[0] from None
        return [to for _, to in places]

    def _places(self, root: Path) -> list[_Place]:
        """Returns the path for each output, checking all of them before creating a folder; runs in a thread."""
        root.mkdir(parents=True, exist_ok=True)
        places = [(output, _inside(root, name)) for name, output in self.outputs.items()]
        for folder in sorted({to.parent for _, to in places}):
            folder.mkdir(parents=True, exist_ok=True)
        return places

    async def _links(self, outputs: list[Output]) -> dict[str, m.BlobLink]:
        """Fetches the links of the outputs that are in the hub's store, in one request."""
        keys = {output.key: output.name for output in outputs if output.key is not None}
        try:
            return await self._blobs.links(keys) if keys else {}
        except NotFound as error:
            raise named(error, "an output") from error


_Place = tuple[Output, Path]


async def _save_same(group: list[_Place], links: dict[str, m.BlobLink], progress: Progress | None) -> None:
    """Saves outputs with the same bytes, which are fetched once."""
    (first, path), *others = group
    await first._save(path, progress, links.get(first.sha256))
    if others:
        await asyncio.to_thread(_copy, path, others)
        if progress is not None:
            progress(sum(output.size for output, _ in others))


def _copy(path: Path, places: list[_Place]) -> None:
    for output, to in places:
        with _writing(to, output.executable) as out, path.open("rb") as file:
            shutil.copyfileobj(file, out)


def _inside(root: Path, name: str) -> Path:
    """Returns the path of an output in a folder; the job chose the name, which may be hostile."""
    clean = check_name(name, field="outputs")
    if os.sep != "/" and any(ch in clean for ch in '\\:<>"|?*'):
        raise ProtocolError(f"the output '{clean}' has a name that this system can't write")
    to = root / clean
    if not to.parent.resolve().is_relative_to(root.resolve()):
        raise ProtocolError(f"the output '{clean}' would be written outside of {root}")
    return to


def _write(to: Path, data: bytes, executable: bool) -> None:
    with _writing(to, executable) as out:
        out.write(data)


@contextmanager
def _writing(to: Path, executable: bool) -> Iterator[BinaryIO]:
    """Opens a file that gets its name once it is completely written."""
    part = to.with_name(f".{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(part, flags, 0o777 if executable else 0o666), "wb") as out:
            yield out
        part.replace(to)
    except OSError as error:
        raise about(error, to) from error
    finally:
        part.unlink(missing_ok=True)
