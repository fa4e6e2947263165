"""Job definitions from Python arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from asman_shared.definition import Build, DataRef, Definition, Requirements
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition, misfit
from asman_shared.transfer import Blob

from .build_context import pack_folder
from .inputs import InputValue, name_files, prepare

Files = Mapping[str, str | os.PathLike[str]] | Iterable[str | os.PathLike[str]]


class JobFields(TypedDict, total=False):
    """Keyword arguments that describe a job; each replaces that field of the definition.

    Attributes:
        image: A container image; without it (and without ``build``), the hub's default image, if it has one.
        build: An image to build instead: a `Build`, or a mapping with its fields; a path as its ``context`` is a folder
            that is packed and uploaded.
        command: A list is used as argv; a string is split into words as a shell does (use ``sh -c '…'`` for more).
        entrypoint: Replaces the entrypoint of the image.
        workdir: Working directory in the container.
        env: Environment variables.
        inputs: Files below ``/inputs`` by name: text, bytes, a path of a file or folder, a `DataRef`, or a JSON value.
        files: Files and folders to put below ``/inputs`` under the last part of their paths, or by name in a mapping.
        config_files: As ``inputs``; a file with an absolute name is mounted at that path.
        cpus: Number of CPUs that a worker must have free.
        gpus: Number of GPUs that a worker must have free.
        memory: Memory that a worker must have free: ``512MiB``, ``2g``, or a number of bytes.
        max_duration: Maximum run time, as part of the definition (``20m``).
        shm_size: Size of ``/dev/shm``.
        tags: Tags that a worker must have, all of them.
        outputs: Patterns of the files below ``/outputs`` to keep (``*.csv``, ``plots/**``); without any, all are kept.
        version: Text or a number that only makes the job different from one without it.
    """

    image: str | None
    build: Build | Mapping[str, Any] | None
    command: str | Sequence[str] | None
    entrypoint: str | Sequence[str] | None
    workdir: str | None
    env: Mapping[str, str] | None
    inputs: Mapping[str, InputValue] | None
    files: Files | None
    config_files: Mapping[str, InputValue] | None
    cpus: float | None
    gpus: int | None
    memory: str | int | None
    max_duration: str | None
    shm_size: str | None
    tags: Sequence[str] | None
    outputs: Sequence[str] | None
    version: str | int | None


def read(definition: Definition | Mapping[str, Any] | None) -> Definition:
    """Parses a definition in its JSON form, or copies a `Definition`.

    Raises:
        BadDefinition: A field is unknown or has the wrong type.
    """
    if definition is None:
        return Definition()
    if isinstance(definition, Definition):
        return msgspec.structs.replace(definition)
    try:
        return msgspec.convert(definition, Definition)
    except msgspec.ValidationError as error:
        sentence, path = misfit(error)
        where = f"definition.{path}".rstrip(".")
        raise BadDefinition(f"{sentence} ({where})", field=where) from error


def make(definition: Definition | Mapping[str, Any] | None, fields: JobFields) -> tuple[Definition, dict[str, Blob]]:
    """Builds and checks the complete definition, and collects the blobs to store before it is submitted.

    This reads files: call it in a thread if there are any.

    Raises:
        BadDefinition: A field, name, value or file can't be part of a job.
        BadUnit: A size or duration can't be parsed.
    """
    made = read(definition)
    folder = _set_plain_fields(made, fields)
    _set_requirements(made, fields)
    values = {**name_files(fields.get("files") or ()), **(fields.get("inputs") or {})}
    prepared = prepare(values, where="definition.inputs")
    made.inputs = _merged(made.inputs, prepared.refs)
    configs = prepare(fields.get("config_files") or {}, where="definition.configFiles", absolute=True)
    made.config_files = _merged(made.config_files, configs.refs)
    blobs = {**prepared.blobs, **configs.blobs}
    if folder is not None and made.build is not None:
        made.build.context, packed = pack_folder(folder, made.build.filename or "Dockerfile")
        blobs[packed.sha256] = packed
    check(made)
    return made, blobs


def _set_plain_fields(made: Definition, fields: JobFields) -> Path | None:
    """Sets the fields that need no conversion; returns the folder to pack for a build, if any."""
    folder: Path | None = None
    if (image := fields.get("image")) is not None:
        made.image = image
    if (build := fields.get("build")) is not None:
        if not isinstance(build, Build) and isinstance(build.get("context"), os.PathLike):
            folder = Path(build["context"])
            build = {**build, "context": None}
        made.build = msgspec.structs.replace(build) if isinstance(build, Build) else read({"build": dict(build)}).build
    if (command := fields.get("command")) is not None:
        made.command = command if isinstance(command, str) else list(command)
    if (entrypoint := fields.get("entrypoint")) is not None:
        made.entrypoint = entrypoint if isinstance(entrypoint, str) else list(entrypoint)
    if (workdir := fields.get("workdir")) is not None:
        made.workdir = workdir
    if (env := fields.get("env")) is not None:
        made.env = {**(made.env or {}), **{name: _env(name, value) for name, value in env.items()}}
    if (max_duration := fields.get("max_duration")) is not None:
        made.max_duration = max_duration
    if (shm_size := fields.get("shm_size")) is not None:
        made.shm_size = shm_size
    if (tags := fields.get("tags")) is not None:
        made.tags = list(tags)
    if (outputs := fields.get("outputs")) is not None:
        made.outputs = list(outputs)
    if (version := fields.get("version")) is not None:
        made.v = version
    return folder


def _env(name: str, value: object) -> str:
    if not isinstance(value, str):
        kind = type(value).__name__
        article = "an" if kind[0] in "aeiou" else "a"
        raise BadDefinition(
            f"the environment variable {name} is {article} {kind}; pass a string", field=f"definition.env.{name}"
        )
    return value


def _set_requirements(made: Definition, fields: JobFields) -> None:
    cpus, gpus, memory = fields.get("cpus"), fields.get("gpus"), fields.get("memory")
    if cpus is None and gpus is None and memory is None:
        return
    needs = msgspec.structs.replace(made.requirements) if made.requirements else Requirements()
    if cpus is not None:
        needs.cpus = int(cpus) if float(cpus).is_integer() else float(cpus)
    if gpus is not None:
        needs.gpus = gpus
    if memory is not None:
        needs.memory = memory if isinstance(memory, str) else f"{memory}b"
    made.requirements = needs


def _merged(had: dict[str, DataRef] | None, refs: dict[str, DataRef]) -> dict[str, DataRef] | None:
    return {**(had or {}), **refs} or had
