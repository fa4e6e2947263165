"""What a finished job made: its outputs as bytes, text, JSON or files."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import rfc8785

from asman_shared import messages as m
from asman_shared.definition import check_name
from asman_shared.errors import AsmanError, NotFound, ProtocolError, Unauthentic

from .blobs import Blobs, Progress

_AT_ONCE = 64


class Output:
    """One output file of a job. Its bytes stay on the hub until they are asked for.

    Attributes:
        name: Its path below ``/outputs``.
        size: Bytes.
        sha256: Of its bytes.
        media_type: Guessed from its name.
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
        """Its bytes, verified by their sha256.

        Raises:
            NotFound: They are no longer stored.
            Unauthentic: They are not what their sha256 says.
            ConnectionFailed: They can't be read now.
        """
        inline = self._inline()
        if inline is not None:
            return inline
        return await self._blobs.read(self._url, self.sha256)

    async def read_text(self, encoding: str = "utf-8") -> str:
        """Its text.

        Raises:
            UnicodeDecodeError: It is not text in this encoding.
            AsmanError: As `read_bytes`.
        """
        return (await self.read_bytes()).decode(encoding)

    async def json(self) -> Any:
        """The JSON value in it.

        Raises:
            ValueError: It does not hold JSON.
            AsmanError: As `read_bytes`.
        """
        return json.loads(await self.read_bytes())

    async def save(self, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
        """Writes it to a file, or into a folder under its own last name part; never leaves half a file.

        Args:
            path: Where to; folders on the way are made.
            progress: Is told how many bytes came, piece by piece.

        Returns:
            The file's path.

        Raises:
            OSError: The file can't be written.
            AsmanError: As `read_bytes`.
        """
        to = Path(path)
        if await asyncio.to_thread(to.is_dir):
            to = _inside(to, self.name.rpartition("/")[2])
        await asyncio.to_thread(to.parent.mkdir, parents=True, exist_ok=True)
        inline = self._inline()
        if inline is not None:
            await asyncio.to_thread(to.write_bytes, inline)
        else:
            await self._blobs.save(self._url, self.sha256, to, progress)
        if self._file.mode & 0o100:
            await asyncio.to_thread(_make_executable, to)
        return to

    async def _url(self) -> str:
        ref = self._file.ref
        if ref.type == "url":
            return str(ref.value)
        return (await self._blobs.links([self.sha256]))[self.sha256]

    def _inline(self) -> bytes | None:
        """The bytes, when they are in the result itself."""
        ref = self._file.ref
        if ref.type in ("key", "url"):
            return None
        try:
            if ref.type == "base64":
                data = base64.b64decode(ref.value, validate=True)
            elif ref.type == "json":
                data = rfc8785.dumps(ref.value)
            else:
                data = str(ref.value).encode()
        except (binascii.Error, ValueError, TypeError) as error:
            raise ProtocolError(f"the output '{self.name}' can't be read: {error}") from error
        if ref.type != "json" and hashlib.sha256(data).hexdigest() != self.sha256:
            raise Unauthentic(f"the output '{self.name}' is not what its sha256 says")
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
    """How a job ended and what it made.

    Attributes:
        job: The job's id.
        verdict: How it ended.
        exit_code: The container's, or None when it did not run to its end.
        outputs: Its output files by name.
        skipped: What lay in ``/outputs`` and was not taken, with the reason.
        phases: Milliseconds that each phase took.
        image_digest: Of the image that ran.
        worker: The worker that ran it.
    """

    def __init__(self, job: str, verdict: m.Verdict, result: m.Result, blobs: Blobs) -> None:
        self.job = job
        self.verdict = verdict
        self.exit_code = verdict.exit_code
        self.outputs: Outputs = Outputs(result, blobs)
        self.skipped = result.skipped
        self.phases = result.phases
        self.image_digest = result.image_digest
        self.worker = result.worker

    @property
    def ok(self) -> bool:
        """Whether the container ran and exited 0."""
        return self.verdict.ok

    async def save_outputs(self, folder: str | os.PathLike[str], progress: Progress | None = None) -> list[Path]:
        """Writes all outputs into a folder, under their names.

        Names come from the job: one that would leave the folder is refused before anything is written.

        Raises:
            BadDefinition: An output's name would leave the folder.
            OSError: A file can't be written.
            AsmanError: As `Output.read_bytes`.
        """
        root = Path(folder)
        await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
        places = [(output, _inside(root, name)) for name, output in self.outputs.items()]
        turns = asyncio.Semaphore(_AT_ONCE)

        async def save(output: Output, to: Path) -> Path:
            async with turns:
                return await output.save(to, progress)

        try:
            async with asyncio.TaskGroup() as group:
                saves = [group.create_task(save(output, to)) for output, to in places]
        except* (AsmanError, OSError) as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in saves]


def _inside(root: Path, name: str) -> Path:
    """The path of an output in a folder; a name from a job, which may be hostile."""
    clean = check_name(name, field="outputs")
    if os.sep != "/" and any(ch in clean for ch in '\\:<>"|?*'):
        raise ProtocolError(f"the output '{clean}' has a name that this system can't write")
    to = root / clean
    if not to.parent.resolve().is_relative_to(root.resolve()):
        raise ProtocolError(f"the output '{clean}' would be written outside of {root}")
    return to


def _make_executable(path: Path) -> None:
    mode = path.stat().st_mode
    path.chmod(mode | ((mode & 0o444) >> 2))
