"""Tasks as clients send them (GA4GH TES 1.1), checked and without what the server owns.

Some clients post each unset member as null, and members that only a server sets. So null is read as absent, and
`SERVER_OWNED` members are ignored. Anything else that is not known is refused: a task whose settings are ignored fails
later, or gives another result.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from asman_shared import limits, ranges
from asman_shared.errors import BadRequest, misfit, plainly

SERVER_OWNED: Final = ("id", "state", "logs", "creation_time")
"""Members of a task that only a server sets."""
NAME_LENGTH: Final = 4096
"""Longest name of a task, an input or an output, and longest tag, in characters."""
TEXT_LENGTH: Final = limits.REPORT_LENGTH
"""Longest description, in characters."""
TAGS: Final = 1000
"""Most tags of a task."""
ZONES: Final = 100
"""Most zones that a task may name."""
GB: Final = 4 * 1024 * 1024
"""Most gigabytes that a task may ask for."""

_MAPS: Final = ("env", "tags", "backend_parameters")
"""Members with names that clients choose."""

Name = Annotated[str, Meta(max_length=NAME_LENGTH)]
Text = Annotated[str, Meta(max_length=TEXT_LENGTH)]
Url = Annotated[str, Meta(max_length=limits.CONTEXT_LENGTH)]
Path = Annotated[str, Meta(max_length=limits.BUILD_PATH_LENGTH)]
Kind = Literal["FILE", "DIRECTORY"]
Words = Annotated[dict[Name, Name], Meta(max_length=TAGS)]
Gigabytes = Annotated[float, Meta(ge=0, le=GB)]


class Input(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A file that the task reads, by its content or its address."""

    path: Path
    name: Name = ""
    description: Text = ""
    url: Url = ""
    type: Kind = "FILE"
    content: ranges.FileText = ""
    streamable: bool = False


class Output(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A file, folder or pattern of files that the task writes."""

    path: Path
    name: Name = ""
    description: Text = ""
    url: Url = ""
    path_prefix: Path = ""
    type: Kind = "FILE"


class Executor(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A command in a container."""

    image: Annotated[str, Meta(min_length=1, max_length=limits.IMAGE_LENGTH)]
    command: Annotated[list[ranges.Argument], Meta(min_length=1, max_length=limits.ARGUMENTS)]
    workdir: Path = ""
    stdin: Path = ""
    stdout: Path = ""
    stderr: Path = ""
    env: Annotated[dict[ranges.EnvName, ranges.Argument], Meta(max_length=limits.ENV_ENTRIES)] = {}
    ignore_error: bool = False


class Resources(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The needs of the task."""

    cpu_cores: Annotated[float, Meta(ge=0, le=limits.CPUS)] = 0
    preemptible: bool = False
    ram_gb: Gigabytes = 0
    disk_gb: Gigabytes = 0
    zones: Annotated[list[Name], Meta(max_length=ZONES)] = []
    backend_parameters: Words = {}
    backend_parameters_strict: bool = False


class Task(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A task: commands that run one after another, and share files."""

    executors: Annotated[list[Executor], Meta(min_length=1, max_length=limits.STEPS + 1)]
    name: Name = ""
    description: Text = ""
    inputs: Annotated[list[Input], Meta(max_length=limits.INPUTS)] = []
    outputs: Annotated[list[Output], Meta(max_length=limits.OUTPUT_PATTERNS)] = []
    resources: Resources = msgspec.field(default_factory=Resources)
    volumes: Annotated[list[Path], Meta(max_length=limits.VOLUMES)] = []
    tags: Words = {}
    callback_url: Annotated[str, Meta(max_length=limits.CALLBACK_URL_BYTES)] = ""


def sent(body: Any) -> dict[str, Any]:
    """Returns the task that a client sent, without nulls and without what a server owns, to be shown again.

    Raises:
        BadRequest: It is no object, or nested too deeply.
    """
    if not isinstance(body, dict):
        raise BadRequest("a task is a JSON object")
    try:
        found: dict[str, Any] = _without_nulls({name: body[name] for name in body if name not in SERVER_OWNED})
    except RecursionError:
        raise BadRequest("the task is nested too deeply") from None
    return found


def _without_nulls(value: Any) -> Any:
    """Returns a value without members that are null; entries of lists and of `_MAPS` stay, to be refused."""
    if isinstance(value, dict):
        return {
            name: each if name in _MAPS else _without_nulls(each) for name, each in value.items() if each is not None
        }
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value


def documented(kind: type[Struct], *ignored: str) -> type[Struct]:
    """Returns the type of what clients may send: members that may be left out may be null, too.

    Args:
        kind: The type without nulls.
        ignored: Further members that may be anything.
    """
    fields: list[tuple[str, Any, Any]] = []
    for each in msgspec.structs.fields(kind):
        wanted = _PARTS[each.name]() if kind is Task and each.name in _PARTS else each.type
        fields.append((each.name, wanted, ...) if each.required else (each.name, wanted | None, None))
    made = msgspec.defstruct(
        kind.__name__,
        [each[:2] if each[2] is ... else each for each in fields] + [(name, Any, None) for name in ignored],
        forbid_unknown_fields=True,
    )
    made.__doc__ = kind.__doc__
    return made


_PARTS: Final[dict[str, Any]] = {
    "executors": lambda: Annotated[list[documented(Executor)], Meta(min_length=1, max_length=limits.STEPS + 1)],  # type: ignore[misc]
    "inputs": lambda: Annotated[list[documented(Input)], Meta(max_length=limits.INPUTS)],  # type: ignore[misc]
    "outputs": lambda: Annotated[list[documented(Output)], Meta(max_length=limits.OUTPUT_PATTERNS)],  # type: ignore[misc]
    "resources": lambda: documented(Resources),
}
"""The types of parts of a task, as clients may send them."""


def read(body: dict[str, Any]) -> Task:
    """Returns a task in its type.

    Raises:
        BadRequest: A member is wrong or not known; the error names it.
    """
    try:
        return msgspec.convert(body, Task)
    except msgspec.ValidationError as error:
        sentence, path = misfit(error)
        raise BadRequest(plainly(sentence), field=path or None) from None
    except RecursionError:
        raise BadRequest("the task is nested too deeply") from None
