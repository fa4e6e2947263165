"""Job definitions from Python arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from operator import index
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict, get_args

import msgspec

from asman_shared.definition import Build, DataRef, Definition, Requirements
from asman_shared.definition_check import check
from asman_shared.errors import BadDefinition, BadUnit, cut
from asman_shared.messages import Callbacks
from asman_shared.states import AnyReuse, Phase
from asman_shared.transfer import Blob

from .arguments import kind_of, known, unfit
from .build_context import pack_folder
from .deadline import Duration
from .inputs import InputValue, name_files, prepare

Files = Mapping[str, str | os.PathLike[str]] | Iterable[str | os.PathLike[str]]


_HUGE = 1 << 64
"""Bound of whole numbers; each field has its own, smaller one."""
_LEAST_BYTES: Final = 1 << 20
"""Smallest number of bytes that stands for itself as memory; a smaller one lacks its unit."""


class JobFields(TypedDict, total=False):
    """Keyword arguments that describe a job; each replaces that field of the definition.

    Attributes:
        image: A container image; without it (and without ``build``), the hub's default image, if it has one.
        build: An image to build instead: a `Build`, or a mapping with its fields; a path as its ``context`` is a folder
            that is packed and uploaded.
        command: A list is used as argv; a string is split into words as a shell does (use ``sh -c '…'`` for more).
        entrypoint: Replaces the entrypoint of the image.
        workdir: Working directory in the container.
        env: Environment variables; a number becomes text.
        inputs: Files below ``$JOB_INPUTS`` (``/inputs``) by name: text, bytes, a path of a file or folder, a `DataRef`
            or its JSON form, an `Output` of a finished job, or a JSON value.
        files: Files and folders to put below ``$JOB_INPUTS`` under the last part of their paths, or by name in a
            mapping.
        config_files: As ``inputs``; a file with an absolute name is mounted at that path.
        cpus: Number of CPUs that a worker must have free.
        gpus: Number of GPUs that a worker must have free.
        memory: Memory that a worker must have free: ``512MiB``, ``2g``, or a number of bytes from 1 MiB on.
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
    env: Mapping[str, str | float] | None
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


class Defined(Protocol):
    """An object with a definition, such as an `asman.Job`, which stands for it."""

    @property
    def definition(self) -> Definition:
        """The definition."""


class SubmitFields(JobFields, total=False):
    """Keyword arguments of `Queue.submit`."""

    definition: Definition | Mapping[str, Any] | Defined | None
    namespace: str
    priority: int
    reuse: AnyReuse
    timeout: Duration | None
    queue_timeout: Duration | None
    phase_timeouts: Mapping[Phase | str, Duration] | None
    max_attempts: int | None
    follow: bool
    callbacks: Callbacks | Mapping[str, Any] | None


JOB_FIELDS: Final = JobFields.__required_keys__ | JobFields.__optional_keys__
"""Names of the keyword arguments that define a job."""
SUBMIT_FIELDS: Final = SubmitFields.__required_keys__ | SubmitFields.__optional_keys__
"""Names of the keyword arguments of `Queue.submit` that an item of `Queue.submit_many` may have."""
REUSES: Final = get_args(AnyReuse)
"""Values of the argument ``reuse``."""
SUBMIT_ARGUMENTS: Final = SUBMIT_FIELDS | {"progress"}
"""Names of all keyword arguments of `Queue.submit`."""


_FILES: Final = frozenset({"inputs", "files", "config_files"})
"""Names of the arguments that may have values to store as blobs."""


def read(definition: Definition | Mapping[str, Any] | Defined | None) -> Definition:
    """Parses a definition in its JSON form, or copies a `Definition` or that of a job.

    Raises:
        BadDefinition: A field is unknown or has the wrong type.
    """
    if definition is None:
        return Definition()
    own = definition if isinstance(definition, Mapping) else definition_of(definition)
    if isinstance(own, Definition):
        return msgspec.structs.replace(own)
    if not isinstance(definition, Mapping):
        says = f"pass command={definition!r}" if isinstance(definition, str) else "pass a Definition or a mapping"
        raise BadDefinition(cut(f"definition is {kind_of(definition)}; {says}"), field="definition")
    try:
        return msgspec.convert(dict(definition), Definition)
    except msgspec.ValidationError as error:
        sentence, field = unfit(error, "definition")
        raise BadDefinition(sentence, field=field) from error


def definition_of(value: object) -> object:
    """Returns the definition of an object that has one, such as a job; any other object itself."""
    found = getattr(value, "definition", None)
    return found if isinstance(found, Definition) else value


def make(
    definition: Definition | Mapping[str, Any] | Defined | None, fields: JobFields
) -> tuple[Definition, dict[str, Blob]]:
    """Builds and checks the complete definition, and collects the blobs to store before it is submitted.

    This reads files: call it in a thread if there are any.

    Raises:
        BadDefinition: A field, name, value or file can't be part of a job.
        BadRequest: A keyword argument is unknown.
        BadUnit: A size or duration can't be parsed.
    """
    known(fields.keys(), JOB_FIELDS)
    made = read(definition)
    folder = _set_plain_fields(made, fields)
    _set_requirements(made, fields)
    if folder is None and _FILES.isdisjoint(fields):
        check(made)
        return made, {}
    values = {**name_files(_paths(fields.get("files"))), **_named("inputs", fields.get("inputs"))}
    prepared = prepare(values, where="definition.inputs")
    made.inputs = _merged(made.inputs, prepared.refs)
    config_files = _named("config_files", fields.get("config_files"), "configFiles")
    configs = prepare(config_files, where="definition.configFiles", absolute=True)
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
        made.image = _text("image", image)
    if (build := fields.get("build")) is not None:
        if not isinstance(build, Build | Mapping):
            raise _wrong("build", build, "a Build, or a mapping with its fields")
        if not isinstance(build, Build) and isinstance(build.get("context"), os.PathLike):
            folder = Path(build["context"])
            build = {**build, "context": None}
        made.build = msgspec.structs.replace(build) if isinstance(build, Build) else read({"build": dict(build)}).build
    if (command := fields.get("command")) is not None:
        made.command = command if isinstance(command, str) else _texts("command", command)
    if (entrypoint := fields.get("entrypoint")) is not None:
        made.entrypoint = entrypoint if isinstance(entrypoint, str) else _texts("entrypoint", entrypoint)
    if (workdir := fields.get("workdir")) is not None:
        made.workdir = _text("workdir", workdir)
    if (env := fields.get("env")) is not None:
        if not isinstance(env, Mapping):
            raise _wrong("env", env, "a mapping of names to values")
        made.env = {**(made.env or {}), **{_text("env", name): _env(name, value) for name, value in env.items()}}
    if (max_duration := fields.get("max_duration")) is not None:
        made.max_duration = _text("max_duration", max_duration, "a string such as '20m'", "maxDuration")
    if (shm_size := fields.get("shm_size")) is not None:
        made.shm_size = _text("shm_size", shm_size, "a string such as '64MiB'", "shmSize")
    if (tags := fields.get("tags")) is not None:
        made.tags = _texts("tags", tags)
    if (outputs := fields.get("outputs")) is not None:
        made.outputs = _texts("outputs", outputs)
    if (version := fields.get("version")) is not None:
        made.v = version if isinstance(version, str) else _whole("version", version, "a string or a whole number", "v")
    return folder


def _wrong(name: str, value: object, wanted: str, field: str = "") -> BadDefinition:
    return BadDefinition(f"{name} is {kind_of(value)}; pass {wanted}", field=f"definition.{field or name}")


def _text(name: str, value: object, wanted: str = "a string", field: str = "") -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, wanted, field)
    return value


def _texts(name: str, value: object) -> list[str]:
    """Returns the strings of a list; a single string is none, as its letters would be taken for strings."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise _wrong(name, value, "a list of strings")
    if type(value) is list and all(type(each) is str for each in value):
        return value.copy()  # the usual case, without a name for each string
    return [_text(f"{name}[{at}]", each, field=f"{name}.{at}") for at, each in enumerate(value)]


def _named(name: str, value: object, field: str = "") -> Mapping[str, InputValue]:
    """Returns values by file name; none for None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "a mapping of names to values", field)
    for each in value:
        _text(f"a name in {name}", each, field=field or name)
    return value


def _paths(value: object) -> Files:
    """Returns paths, or paths by file name; none for None."""
    if value is None:
        return ()
    if isinstance(value, str | os.PathLike):
        return [value]
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise _wrong("files", value, "a list of paths, or a mapping of names to paths", "inputs")
    paths = list(_named("files", value, "inputs").values()) if isinstance(value, Mapping) else list(value)
    for each in paths:
        if not isinstance(os.fspath(each) if isinstance(each, os.PathLike) else each, str):
            raise _wrong("a path in files", each, "a string or a Path", "inputs")
    return value if isinstance(value, Mapping) else paths


def _whole(name: str, value: object, wanted: str, field: str) -> int:
    """Returns a whole number that is not so large that Python can't show or convert it."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise _wrong(name, value, wanted, field)
    if not -_HUGE < index(value) < _HUGE:
        raise BadDefinition(f"{name} is far out of range", field=f"definition.{field}")
    return index(value)


def _number(name: str, value: object, wanted: str, field: str) -> float:
    """Returns a number; see `_whole`."""
    if isinstance(value, Real) and not isinstance(value, Integral):
        return float(value)
    return _whole(name, value, wanted, field)


def _env(name: str, value: object) -> str:
    """Returns the value of a variable; a number becomes text."""
    if isinstance(value, str):
        return value
    return str(_number(f"the environment variable {name}", value, "a string or a number", f"env.{name}"))


def _set_requirements(made: Definition, fields: JobFields) -> None:
    cpus, gpus, memory = fields.get("cpus"), fields.get("gpus"), fields.get("memory")
    if cpus is None and gpus is None and memory is None:
        return
    needs = msgspec.structs.replace(made.requirements) if made.requirements else Requirements()
    if cpus is not None:
        number = float(_number("cpus", cpus, "a number", "requirements.cpus"))
        needs.cpus = int(number) if number.is_integer() else number
    if gpus is not None:
        wanted = "a whole number; a kind of gpu is a tag of workers"
        needs.gpus = _whole("gpus", gpus, wanted, "requirements.gpus")
    if memory is not None:
        wanted = "a string such as '2GiB', or a number of bytes"
        if isinstance(memory, str):
            needs.memory = str(memory)
        else:
            size = _whole("memory", memory, wanted, "requirements.memory")
            if 0 < size < _LEAST_BYTES:
                raise BadUnit(
                    f"memory is {size}, a number of bytes: write a unit, such as '{size}MiB' or '{size}b'",
                    field="definition.requirements.memory",
                )
            needs.memory = f"{size}b"
    made.requirements = needs


def _merged(had: dict[str, DataRef] | None, refs: dict[str, DataRef]) -> dict[str, DataRef] | None:
    return {**(had or {}), **refs} or had
