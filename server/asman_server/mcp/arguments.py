"""The arguments of the tools: their types, from which the schemas are made that agents read."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from asman_shared import limits, ranges
from asman_shared.errors import BadRequest, misfit, plainly
from asman_shared.states import AnyReuse, State

WAIT_DEFAULT: Final = 45
"""Default wait, in seconds: many clients give up a call after a minute."""
TAIL_DEFAULT: Final = 100
"""Number of log lines when nothing else is asked for."""
TEXT_DEFAULT: Final = 32 * 1024
"""Text of a log or of output files, in bytes, when no limit is given."""

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)

T = TypeVar("T", bound=Struct)

Job = Annotated[ranges.JobId, Meta(description="The job's id, as submit and list return it.")]


class Bytes(Struct, forbid_unknown_fields=True):
    """The bytes of a file that is no text."""

    base64: ranges.FileText


class SubmitArguments(Struct, forbid_unknown_fields=True):
    """Arguments of `submit`."""

    image: Annotated[ranges.Image, Meta(description="Container image, such as python:3.12-slim.")] | UnsetType = UNSET
    dockerfile: (
        Annotated[
            ranges.DefinitionText, Meta(description="Text of a Dockerfile to build, instead of an image. No context.")
        ]
        | UnsetType
    ) = UNSET
    command: (
        Annotated[
            ranges.Arguments | ranges.Argument,
            Meta(
                description="The words of the command, which no shell sees, or one text: split into words, or run by "
                "/bin/sh if it has pipes, redirections, patterns and the like. Left out: the image's own command."
            ),
        ]
        | UnsetType
    ) = UNSET
    env: Annotated[ranges.Env, Meta(description="Environment variables.")] | UnsetType = UNSET
    files: (
        Annotated[
            dict[ranges.FileName, ranges.FileText | Bytes],
            ranges.shown(maxProperties=limits.INPUTS),
            Meta(
                description='Input files by relative path, found below /inputs: text, or {"base64": "…"}. '
                "The command reads /inputs/<path> and writes results to /outputs/<path>."
            ),
        ]
        | UnsetType
    ) = UNSET
    outputs: (
        Annotated[
            ranges.Patterns, Meta(description="Patterns of files below /outputs to keep, such as *.png. Default: all.")
        ]
        | UnsetType
    ) = UNSET
    workdir: Annotated[ranges.Path, Meta(description="Working folder of the command.")] | UnsetType = UNSET
    cpus: (
        Annotated[ranges.Cpus | ranges.WholeCpus, Meta(description="CPUs that the job needs. Default: 1.")] | UnsetType
    ) = UNSET
    memory: (
        Annotated[ranges.UnitText, Meta(description="Memory that the job needs, such as 512MiB or 4g.")] | UnsetType
    ) = UNSET
    gpus: Annotated[ranges.Gpus, Meta(description="GPUs that the job needs.")] | UnsetType = UNSET
    max_duration: (
        Annotated[ranges.UnitText, Meta(description="Longest time to run, such as 90s, 20m or 2h.")] | UnsetType
    ) = UNSET
    tags: Annotated[ranges.Tags, Meta(description="Tags that the worker must have.")] | UnsetType = UNSET
    priority: Annotated[ranges.Priority, Meta(description="Higher runs first.")] = 0
    reuse: Annotated[
        AnyReuse,
        Meta(
            description="success: an equal job that succeeded is not run again. any: neither is one that exited with"
            " another code. never: run it again."
        ),
    ] = "success"
    wait: Annotated[
        ranges.WaitSeconds, Meta(description="Seconds to wait for the end; 0 returns the job's id at once.")
    ] = WAIT_DEFAULT


class StatusArguments(Struct, forbid_unknown_fields=True):
    """Arguments of `status`."""

    job: Job


class WaitArguments(Struct, forbid_unknown_fields=True):
    """Arguments of `wait`."""

    job: Job
    seconds: Annotated[ranges.WaitSeconds, Meta(description="Longest wait, in seconds.")] = WAIT_DEFAULT


class LogsArguments(Struct, forbid_unknown_fields=True):
    """Arguments of `logs`."""

    job: Job
    tail: (
        Annotated[
            ranges.LogPage,
            Meta(
                description="Only this many of the last lines, or matches of grep; with head, the first and the last. "
                f"Default: {TAIL_DEFAULT}, if no other part is chosen."
            ),
        ]
        | UnsetType
    ) = UNSET
    head: (
        Annotated[ranges.LogPage, Meta(description="Only this many of the first lines, or matches of grep.")]
        | UnsetType
    ) = UNSET
    grep: (
        Annotated[ranges.LogPattern, Meta(description="Only lines that match this regular expression (RE2 syntax).")]
        | UnsetType
    ) = UNSET
    ignore_case: Annotated[bool, Meta(description="Ignore case in grep.")] = False
    around_first_error: Annotated[bool, Meta(description="Only the lines around the first error.")] = False
    context: (
        Annotated[
            ranges.ContextLines,
            Meta(description="Lines to show around each match of grep (default 0) or the error (default 10)."),
        ]
        | UnsetType
    ) = UNSET
    stream: Annotated[Literal["stdout", "stderr", "system"], Meta(description="Only this stream.")] | UnsetType = UNSET
    since: (
        Annotated[ranges.Seq, Meta(description="Only lines from this number on; see the answer before.")] | UnsetType
    ) = UNSET
    max_bytes: Annotated[ranges.ToolTextBytes, Meta(description="Most text in the answer, in bytes.")] = TEXT_DEFAULT


class OutputsArguments(Struct, forbid_unknown_fields=True):
    """Arguments of `outputs`."""

    job: Job
    path: (
        Annotated[
            ranges.OutputName, Meta(description="Only this file. Default: all are listed, small texts are shown.")
        ]
        | UnsetType
    ) = UNSET
    max_bytes: Annotated[
        ranges.ToolTextBytes, Meta(description="Most text of files in the answer, in bytes; other files are links.")
    ] = TEXT_DEFAULT


class CancelArguments(Struct, forbid_unknown_fields=True):
    """Arguments of `cancel`."""

    job: Job


class ExplainArguments(Struct, forbid_unknown_fields=True):
    """Arguments of `explain`."""

    job: Job


class ListArguments(Struct, forbid_unknown_fields=True):
    """Arguments of `list`."""

    states: (
        Annotated[
            list[Literal["Queued", "Running", "Finished"]],
            Meta(max_length=len(State), description="Only jobs in these states. Default: all."),
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[ranges.JobsPage, Meta(description="Largest number of jobs.")] = 20
    before: Annotated[ranges.Seq, Meta(description="For the next page: next of the answer before.")] | UnsetType = UNSET


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """Returns the JSON Schema of a tool's arguments, with the object itself at its root."""
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    name = root["$ref"].rpartition("/")[2]
    made: dict[str, Any] = parts.pop(name)
    made.pop("title", None)
    made.pop("description", None)
    return {**made, "$defs": parts} if parts else made


def read(arguments: object, kind: type[T]) -> T:
    """Returns the arguments of a call.

    Raises:
        BadRequest: They do not fit; the error names the argument at fault.
    """
    if arguments is not None and not isinstance(arguments, dict):
        raise BadRequest("'arguments' is an object with the tool's arguments by name")
    try:
        return msgspec.convert(arguments or {}, kind)
    except msgspec.ValidationError as error:
        sentence, path = misfit(error)
        unknown, missing = _UNKNOWN.fullmatch(sentence), _MISSING.fullmatch(sentence)
        if unknown is not None and not path:
            sentence = f"there is no argument '{unknown[1]}'; this tool has {', '.join(kind.__struct_fields__)}"
        elif missing is not None and not path:
            sentence = f"the argument '{missing[1]}' is missing"
        raise BadRequest(plainly(sentence), field=path or None) from None


__all__ = [
    "CancelArguments",
    "ExplainArguments",
    "ListArguments",
    "LogsArguments",
    "OutputsArguments",
    "StatusArguments",
    "SubmitArguments",
    "WaitArguments",
    "read",
    "schema_of",
]
