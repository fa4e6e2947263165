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
from asman_shared.definition import DataRef
from asman_shared.definition_check import check_name
from asman_shared.errors import AsmanError, BadDefinition, NotFound, ProtocolError, Unauthentic
from asman_shared.identity import json_bytes
from asman_shared.states import Phase
from asman_shared.transfer import Progress, Wanted

from .arguments import path as checked_path
from .blobs import Blobs, about, named
from .display import html
from .inputs import InputValue, stand_in

_NAMED = 10
"""Number of outputs that a `repr` names."""
_AT_ONCE = 64
"""Maximum number of outputs that are saved at the same time."""


class Output:
    """One output file of a job; its bytes stay on the hub until they are read.

    Attributes:
        name: Path of the file below ``/outputs``.
        size: In bytes; 0 also if `size_known` is false.
        size_known: False for a file that a worker named without telling its size.
        sha256: Hash of the bytes; empty if the worker did not tell it. The bytes are then not verified.
        media_type: Guessed from the name.
    """

    def __init__(self, name: str, file: m.OutputFile, blobs: Blobs) -> None:
        self.name: str = name
        self.size: int = file.size
        self.size_known: bool = file.known_size is not None
        self.sha256: str = file.sha256
        self.media_type: str = file.media_type
        self._file = file
        self._blobs = blobs

    def __repr__(self) -> str:
        size = f"{self.size} bytes" if self.size_known else "of unknown size"
        return f"Output({self.name!r}, {size})"

    def _repr_html_(self) -> str:
        return html.outputs_grid([self], 1)

    async def read_bytes(self) -> bytes:
        """Reads the file's bytes and verifies them by their sha256, if it is known.

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

    async def read_json(self) -> Any:
        """Reads the file as a JSON value; another name of `json`."""
        return await self.json()

    async def save(self, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
        """Saves the output as a file, or in a folder under the last part of its name; never leaves a partial file.

        Args:
            path: The file or an existing folder; missing parent folders are created, and so is a folder that ends in
                ``/``.
            progress: Called with the number of bytes received since the last call; negative when some have to be
                received again.

        Returns:
            The path of the saved file.

        Raises:
            OSError: The file can't be written.
            BadRequest: The path is empty, or no path.
            AsmanError: As for `read_bytes`.
        """
        to = await asyncio.to_thread(self._place, checked_path("path", path), str(path).endswith(("/", os.sep)))
        return await self._save(to, progress)

    def _place(self, path: Path, folder: bool) -> Path:
        """Returns the path to save to, after creating its parent folders; runs in a thread."""
        if folder:
            path.mkdir(parents=True, exist_ok=True)
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
        ref, size = self._file.ref, self._file.known_size
        if ref.type != "url":
            return self._blobs.wanted(self.sha256, size=size, link=link)
        return self._blobs.named_by_a_result(str(ref.value), self.sha256 or None, size)

    def _inline(self) -> bytes | None:
        """Returns the bytes if the result itself holds them."""
        ref = self._file.ref
        if ref.type in ("key", "url"):
            return None
        try:
            if ref.type == "base64":
                data = base64.b64decode("".join(str(ref.value).split()), validate=True)
            elif ref.type == "json":
                data = json_bytes(ref.value)
            else:
                data = str(ref.value).encode()
        except (binascii.Error, ValueError, TypeError) as error:
            raise ProtocolError(f"the output '{self.name}' can't be read: {error}") from error
        if ref.type != "json" and hashlib.sha256(data).hexdigest() != self.sha256:
            raise Unauthentic(f"the output '{self.name}' does not match its sha256")
        return data


@stand_in.register
def _output_as_input(value: Output, where: str) -> InputValue:
    """Names the bytes of an output, which are not fetched; those that the result itself holds are taken as they are."""
    inline = value._inline()
    return DataRef(value._file.ref.value, value._file.ref.type) if inline is None else inline


class _NoOutputError(NotFound, KeyError):
    """A job has no output of this name; a `KeyError` too, as every mapping raises."""

    def __str__(self) -> str:
        return self.message  # a KeyError would quote it


class Outputs(Mapping[str, Output]):
    """A job's outputs by name."""

    def __init__(self, result: m.Result, blobs: Blobs) -> None:
        self._outputs = {name: Output(name, file, blobs) for name, file in sorted(result.outputs.items())}

    def __getitem__(self, name: str) -> Output:
        try:
            return self._outputs[name]
        except KeyError:
            there = ", ".join(list(self._outputs)[:10]) or "none"
            raise _NoOutputError(f"the job has no output '{name}'; it has: {there}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._outputs

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        names = ", ".join(repr(name) for name in list(self._outputs)[:_NAMED])
        more = f", … {len(self) - _NAMED:,} more" if len(self) > _NAMED else ""
        return f"Outputs({names}{more})"

    def _repr_html_(self) -> str:
        return html.outputs_grid(self._outputs.values(), len(self))


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
        self.job: str = job
        self.verdict: m.Verdict = verdict
        self.exit_code: int | None = verdict.exit_code
        self.outputs: Outputs = Outputs(result, blobs)
        self._blobs = blobs
        self.skipped: dict[str, str] = result.skipped
        self.phases: dict[Phase, int] = result.phases
        self.image_digest: str = result.image_digest
        self.worker: str = result.worker

    def __repr__(self) -> str:
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        count = len(self.outputs)
        files = f"{count} output{'' if count == 1 else 's'}"
        return f"JobResult({self.job[:12]}, {self.verdict.reason.value}{code}, {files})"

    def _repr_html_(self) -> str:
        code = "" if self.exit_code is None else str(self.exit_code)
        rows = (
            ("ended", html.text(self.verdict.reason.value)),
            ("exit code", code),
            ("took", html.took(self.verdict.duration)),
            ("worker", html.text(self.worker)),
            ("message", html.text(self.verdict.message)),
            ("not kept", html.text(", ".join(self.skipped))),
        )
        return html.facts(f"Result of job {html.text(self.job[:12])}", rows) + html.outputs_grid(
            self.outputs.values(), len(self.outputs)
        )

    @property
    def ok(self) -> bool:
        """True if the container ran and exited with 0."""
        return self.verdict.ok

    async def save_outputs(self, folder: str | os.PathLike[str], progress: Progress | None = None) -> list[Path]:
        """Saves all outputs in a folder, under their names.

        The job chose the names: a name that would leave the folder is refused before anything is written. An output
        that can't be read does not keep the others from being saved.

        Raises:
            BadDefinition: The name of an output would leave the folder.
            ProtocolError: An output has the name of another one's folder.
            OSError: A file can't be written.
            BadRequest: The folder is empty, or no path.
            AsmanError: As for `Output.read_bytes`.
        """
        places = await asyncio.to_thread(self._places, checked_path("folder", folder))
        same: dict[tuple[str | None, str], list[_Place]] = {}
        for output, to in places:
            same.setdefault((output.key, "" if output.key else output.name), []).append((output, to))
        groups = list(same.values())
        turns = asyncio.Semaphore(_AT_ONCE)
        problems: list[AsmanError] = []

        async def save(group: list[_Place], links: dict[str, m.BlobLink]) -> None:
            async with turns:
                try:
                    await _save_same(group, links, progress)
                except AsmanError as error:
                    problems.append(error)

        for start in range(0, len(groups), limits.BLOBS_PER_REQUEST):
            batch = groups[start : start + limits.BLOBS_PER_REQUEST]
            links = await self._links([group[0][0] for group in batch])
            try:
                async with asyncio.TaskGroup() as tasks:
                    for group in batch:
                        tasks.create_task(save(group, links))
            except* OSError as errors:
                raise errors.exceptions[0] from None
        if problems:
            raise problems[0]
        return [to for _, to in places]

    def _places(self, root: Path) -> list[_Place]:
        """Returns the path for each output, checking all of them before creating a folder; runs in a thread."""
        for name in self.outputs:
            file = next((each for each in _folders(name) if each in self.outputs), None)
            if file is not None:
                raise ProtocolError(
                    f"the outputs '{file}' and '{name}' can't be saved together: the first is a file, and the second "
                    f"needs a folder of that name; save them one by one"
                )
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
        except NotFound:
            return {}  # one of them is gone; each output asks for itself, so that the others are saved


@stand_in.register(Outputs)
@stand_in.register(JobResult)
def _result_as_input(value: Outputs | JobResult, where: str) -> InputValue:
    raise BadDefinition(
        'the result of a job can\'t be an input as a whole: pass one of its outputs, result.outputs["name"]',
        field=where,
    )


_Place = tuple[Output, Path]


async def _save_same(group: list[_Place], links: dict[str, m.BlobLink], progress: Progress | None) -> None:
    """Saves outputs with the same bytes, which are fetched once."""
    (first, path), *others = group
    await first._save(path, progress, links.get(first.sha256))
    if others:
        await asyncio.to_thread(_copy, path, others)
        if progress is not None:
            progress(sum(output.size for output, _ in others))


def _folders(name: str) -> Iterator[str]:
    """Yields the folders above a file, by their names below ``/outputs``."""
    for at, letter in enumerate(name):
        if letter == "/":
            yield name[:at]


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
