"""Translates reports from workers of the dialect into outcomes and log lines."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from asman_shared import limits
from asman_shared.definition import SHA256, DataRef
from asman_shared.definition_check import check_name, check_url_value
from asman_shared.errors import AsmanError, BadDefinition
from asman_shared.identity import json_bytes
from asman_shared.messages import LF, NO_END, STDERR, STDOUT, LogLine, Outcome, OutputFile, Result
from asman_shared.states import Fault, Phase

from .incoming import Value

SAFE_INT: Final = 2**53 - 1
_STEPS: Final = {
    "docker image pull": Phase.PULLING,
    "cloning repo": Phase.BUILDING,
    "docker build": Phase.BUILDING,
    "docker image push": Phase.BUILDING,
}

Keep = Callable[[bytes, str], Awaitable[None]]
"""Stores bytes under their sha256."""


class _Finished(Struct, rename={"status_code": "StatusCode", "is_timed_out": "isTimedOut"}):
    status_code: int | None = None
    logs: list[list[Any]] | None = None
    duration: float | None = None
    error: Any = None
    is_timed_out: bool | None = None
    outputs: dict[str, Any] | None = None


def phase_of(step: str) -> Phase:
    """Returns the phase for a step of the dialect."""
    return _STEPS.get(step, Phase.RUNNING)


def lines_of(logs: list[list[Any]], first: int, phase: Phase, now: int) -> list[LogLine]:
    """Returns the lines of a log of the dialect, whose texts may hold several lines or a line end.

    Args:
        logs: Entries ``[text, ms]`` or ``[text, ms, true]``; all other entries are skipped.
        first: The seq of the first line.
        phase: The phase in which the log was written.
        now: The time for lines without one.
    """
    made: list[LogLine] = []
    for entry in logs:
        if not entry or not isinstance(entry[0], str):
            continue
        time = entry[1] if len(entry) > 1 and isinstance(entry[1], int | float) and 0 <= entry[1] <= SAFE_INT else now
        stream = STDERR if len(entry) > 2 and entry[2] is True else STDOUT
        text = entry[0].removesuffix("\n").removesuffix("\r")
        for line in text.split("\n"):
            for at in range(0, max(len(line), 1), limits.LOG_LINE_BYTES):
                part = line[at : at + limits.LOG_LINE_BYTES]
                end = NO_END if at + limits.LOG_LINE_BYTES < len(line) else LF
                made.append(LogLine(first + len(made), int(time), stream, part, phase, end))
    return made


def result_logs(value: Value) -> list[list[Any]]:
    """The logs that came with a result."""
    return _read(value.result).logs or []


def _read(result: Any) -> _Finished:
    try:
        return msgspec.convert(result, _Finished) if isinstance(result, dict) else _Finished()
    except msgspec.ValidationError as error:
        return _Finished(error=f"its worker sent a result that can't be read: {error}")


async def outcome_of(value: Value, lines: int, keep: Keep) -> Outcome | None:
    """Translates the end that a worker reports; None when the worker returns the job to the queue.

    Args:
        value: The value of the change.
        lines: The seq after the last log line.
        keep: Stores outputs that are too large for the result.
    """
    found = _read(value.result)
    duration = int(found.duration) if found.duration and 0 < found.duration <= SAFE_INT else 0
    if value.reason == "Success":
        made = Outcome(kind="exited", exit_code=_exit_code(found.status_code), message=value.message or "")
    elif value.reason == "TimedOut":
        made = Outcome(kind="timed_out", message=value.message or "its worker stopped it: its time limit passed")
    elif value.reason == "Error":
        error = found.error if isinstance(found.error, str) else msgspec.json.encode(found.error).decode()
        said = value.message or (error if found.error else "its worker could not run it and did not say why")
        made = Outcome(kind="error", message=said[:10_000], fault=Fault.JOB)
        if found.status_code is not None:
            made.exit_code = _exit_code(found.status_code)
    else:
        return None
    made.duration = duration
    made.lines = lines
    made.result = await _outputs(found.outputs or {}, keep)
    return made


def _exit_code(code: int | None) -> int:
    return code if code is not None and -(2**31) <= code < 2**32 else 0


async def _outputs(outputs: dict[str, Any], keep: Keep) -> Result:
    made = Result()
    for name, value in outputs.items():
        try:
            if len(made.outputs) == limits.INPUTS:
                raise BadDefinition(f"a job may have at most {limits.INPUTS} outputs")
            clean = check_name(name, field="outputs")
            made.outputs[clean] = await _output(clean, value, keep)
        except AsmanError as error:
            made.skipped[name[: limits.NAME_LENGTH]] = error.message
            if len(made.skipped) == limits.TAGS:
                break
    return made


async def _output(name: str, value: Any, keep: Keep) -> OutputFile:
    try:
        ref = msgspec.convert(value, DataRef, strict=False) if isinstance(value, dict) else DataRef(value)
    except msgspec.ValidationError as error:
        raise BadDefinition(f"it is not a data ref: {error}") from None
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if ref.type == "key" and isinstance(ref.value, str):
        # In the dialect a suffix is part of the file's name; it is not part of the blob's.
        sha256 = ref.value.partition(".")[0]
        return OutputFile(ref=ref, size=0, sha256=sha256 if SHA256.fullmatch(sha256) else "", media_type=kind)
    if ref.type == "url":
        check_url_value(ref.value if isinstance(ref.value, str) else "", "outputs")
        return OutputFile(ref=ref, size=0, sha256="", media_type=kind)
    body = bytes_of(ref)
    sha256 = hashlib.sha256(body).hexdigest()
    if len(body) > limits.INLINE_BYTES:
        await keep(body, sha256)
        ref = DataRef(sha256, "key")
    return OutputFile(ref=ref, size=len(body), sha256=sha256, media_type=kind)


def bytes_of(ref: DataRef) -> bytes:
    """Returns the bytes of a ref that carries them itself.

    Raises:
        BadDefinition: The ref is marked as base64 but is not base64.
    """
    if ref.type == "json":
        return json_bytes(ref.value)
    text = ref.value if isinstance(ref.value, str) else json_bytes(ref.value).decode()
    if ref.type != "base64":
        return text.encode("utf-8", "replace")
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        raise BadDefinition("its value is not base64") from None
