"""Translates reports from workers of the dialect into outcomes and log lines."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import mimetypes
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from asman_shared import limits
from asman_shared.definition import SHA256, DataRef
from asman_shared.definition_check import base64_bytes, check_name, check_url_value
from asman_shared.errors import AsmanError, BadDefinition, Unavailable, cut, misfit
from asman_shared.identity import json_bytes
from asman_shared.messages import CRLF, LF, NO_END, STDERR, STDOUT, LogLine, Outcome, OutputFile, Result
from asman_shared.states import Fault, Phase
from asman_shared.units import KIB, MIB, format_size

from .ids import as_javascript
from .incoming import Value
from .own_files import Find, Stored, nowhere, ref_of

SAFE_INT: Final = 2**53 - 1
LEAST_CODE: Final = -(2**31)
GREATEST_CODE: Final = 2**32 - 1
MESSAGE_LENGTH: Final = 10_000
"""Number of characters that are kept of a sentence about a job's end."""
_STEPS: Final = {
    "docker image pull": Phase.PULLING,
    "cloning repo": Phase.BUILDING,
    "docker build": Phase.BUILDING,
    "docker image push": Phase.BUILDING,
}

INLINE_TOTAL: Final = 2 * MIB
"""Size of a result from which on its outputs are stored as blobs, however small they are, in bytes."""
RESULT_BYTES: Final = 5 * MIB // 2
"""Largest size of a result's outputs as JSON, in bytes: native clients get it and the definition in one message."""
SKIPPED_BYTES: Final = 64 * KIB
"""Largest size of the names and reasons of outputs that are left out, in bytes; the outputs have the less room."""
AT_ONCE: Final = 100
"""Outputs that are read before the event loop may run other tasks."""
SLICE_STEPS: Final = limits.LOG_BATCH_LINES
"""Lines and entries of a log that are read before the event loop may run other tasks."""
SLICE_SIZE: Final = 512 * KIB
"""Size of the text of such lines after which they are stored, in characters."""
_MORE: Final = "…"
"""The name under which a result counts the outputs that it does not name."""

_PIECES: Final = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_ENDS: Final = (("\r\n", CRLF), ("\n", LF))

Keep = Callable[[bytes, str], Awaitable[None]]
"""Stores bytes under their sha256."""


class _Finished(Struct, rename={"status_code": "StatusCode"}):
    """A result. Logs and duration that can't be read are left out: they do not cost the exit code and the outputs."""

    status_code: int | None = None
    logs: Any = None
    duration: Any = None
    error: Any = None
    outputs: dict[str, Any] | None = None

    def fault(self) -> str:
        """Returns why the end of the job can't be known from the result; empty if it can."""
        code = self.status_code
        if code is None or LEAST_CODE <= code <= GREATEST_CODE:
            return ""
        return f"its worker sent the exit code {code!s:.40}, which is not from {LEAST_CODE} to {GREATEST_CODE}"


def _cant_be_read(why: str) -> str:
    return f"its worker sent a result that can't be read: {why}"


def unreadable(why: str, lines: int) -> Outcome:
    """Returns the end of a run whose worker sent a message of its end that can't be read."""
    return Outcome(kind="error", message=_cant_be_read(why)[:MESSAGE_LENGTH], fault=Fault.JOB, lines=lines)


class _Unreadable(_Finished):
    why: str = ""

    def fault(self) -> str:
        """Returns why the result can't be read."""
        return _cant_be_read(self.why)


def phase_of(step: Any) -> Phase:
    """Returns the phase for a step of the dialect."""
    return _STEPS.get(step, Phase.RUNNING) if isinstance(step, str) else Phase.RUNNING


def lines_of(logs: Sequence[Any], phase: Phase, now: int) -> Iterator[list[LogLine]]:
    """Yields the lines of a log of the dialect, whose texts may hold several lines, or a part of one.

    Texts and ends of the lines, joined, are the texts of the log, joined. As in native logs, a lone carriage return
    ends a line and stays in it. The lines come in slices, because one frame may have millions: each slice is made when
    it is asked for, from at most `SLICE_STEPS` lines and entries. A slice may have no lines.

    Args:
        logs: Entries ``[text, ms]`` or ``[text, ms, true]``; all other entries are skipped.
        phase: The phase in which the log was written.
        now: The time for lines without one.
    """
    made: list[LogLine] = []
    steps = size = 0
    for sent in logs:
        steps += 1
        entry = sent if isinstance(sent, list) else []
        text = entry[0] if entry and isinstance(entry[0], str) else ""
        time = entry[1] if len(entry) > 1 and isinstance(entry[1], int | float) and 0 <= entry[1] <= SAFE_INT else now
        stream = STDERR if len(entry) > 2 and entry[2] is True else STDOUT
        for found in _PIECES.finditer(text):
            piece = found[0]
            ending, end = next((one for one in _ENDS if piece.endswith(one[0])), ("", NO_END))
            line = piece.removesuffix(ending)
            for at in range(0, max(len(line), 1), limits.LOG_LINE_BYTES):
                part = line[at : at + limits.LOG_LINE_BYTES]
                split = at + limits.LOG_LINE_BYTES < len(line)
                made.append(LogLine(0, int(time), stream, part, phase, NO_END if split else end))
                steps, size = steps + 1, size + len(part)
                if steps >= SLICE_STEPS or size >= SLICE_SIZE:
                    yield made
                    made, steps, size = [], 0, 0
        if steps >= SLICE_STEPS:
            yield made
            made, steps, size = [], 0, 0
    yield made


def number(lines: list[LogLine], first: int) -> None:
    """Gives lines their seqs, from ``first`` on."""
    for seq, line in enumerate(lines, start=first):
        line.seq = seq


def result_logs(value: Value) -> list[list[Any]]:
    """The logs that came with a result."""
    logs = _read(value.result).logs
    return [entry for entry in logs if isinstance(entry, list)] if isinstance(logs, list) else []


def _read(result: Any) -> _Finished:
    try:
        return msgspec.convert(result, _Finished, strict=False) if isinstance(result, dict) else _Finished()
    except msgspec.ValidationError as error:
        return _Unreadable(why=str(error))


async def outcome_of(value: Value, lines: int, keep: Keep, find: Find = nowhere) -> Outcome | None:
    """Translates the end that a worker reports; None when the worker returns the job to the queue.

    Args:
        value: The value of the change.
        lines: The seq after the last log line.
        keep: Stores outputs that are too large for the result.
        find: Finds the outputs that the worker has stored on the hub.

    Raises:
        Unavailable: An output can't be stored now.
    """
    found = _read(value.result)
    timed = isinstance(found.duration, int | float) and 0 < found.duration <= SAFE_INT
    duration = int(found.duration) if timed else 0
    fault = found.fault()
    if value.reason == "TimedOut":
        made = Outcome(kind="timed_out", message=value.message or "its worker stopped it: its time limit passed")
        made.exit_code = None if fault else found.status_code
    elif value.reason == "Success" and not fault:
        made = Outcome(kind="exited", exit_code=found.status_code or 0, message=value.message or "")
    elif value.reason == "Success":
        made = Outcome(kind="error", message=fault, fault=Fault.JOB)
    elif value.reason == "Error":
        error = found.error if isinstance(found.error, str) else msgspec.json.encode(found.error).decode()
        said = error if found.error else fault or "its worker could not run it and did not say why"
        made = Outcome(kind="error", message=value.message or said, fault=Fault.JOB)
        made.exit_code = None if fault else found.status_code
    else:
        return None
    made.message = made.message[:MESSAGE_LENGTH]
    made.duration = duration
    made.lines = lines
    made.result = await _outputs(found.outputs or {}, keep, find)
    return made


async def _outputs(outputs: dict[str, Any], keep: Keep, find: Find) -> Result:
    made = Result()
    size = 0
    left_out = _LeftOut(made.skipped)
    named = {ref for value in islice(outputs.values(), limits.INPUTS) if (ref := ref_of(value)) is not None}
    stored = await find(named) if named else {}
    folders: set[str] = set()
    for number, (name, value) in enumerate(outputs.items(), start=1):
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            if len(made.outputs) == limits.INPUTS:
                raise BadDefinition(f"a job may have at most {limits.INPUTS} outputs")
            clean = check_name(name, field="outputs")
            if clean in made.outputs:
                raise BadDefinition("it is the same file as another output")
            above = [clean[:at] for at, letter in enumerate(clean) if letter == "/"]
            if clean in folders or any(each in made.outputs for each in above):
                raise BadDefinition("a file and a folder can't have the same name, and another output came first")
            file = _stored(clean, stored.get(ref_of(value) or ("", "")))
            file = file or await _output(clean, value, keep, limits.INLINE_BYTES if size < INLINE_TOTAL else 0)
            entry = len(msgspec.json.encode({clean: file}))
            if size + left_out.size + entry > RESULT_BYTES:
                raise BadDefinition(
                    f"the outputs of a job have at most {format_size(RESULT_BYTES)} besides their files"
                )
            size += entry
            made.outputs[clean] = file
            folders.update(above)
        except Unavailable:
            raise
        except AsmanError as error:
            left_out.add(name, error.message)
    left_out.end()
    return made


class _LeftOut:
    """The outputs that a result leaves out: the first ones by name, with a reason that is cut, and a count of the rest.

    Args:
        skipped: The names and reasons that are stored.
    """

    def __init__(self, skipped: dict[str, str]) -> None:
        self.size = 0
        self._skipped = skipped
        self._more = 0

    def add(self, name: str, why: str) -> None:
        """Names an output, or counts it if there is no room for its name."""
        name, why = name[: limits.NAME_LENGTH], cut(why)
        entry = len(msgspec.json.encode({name: why}))
        if len(self._skipped) == limits.TAGS or self.size + entry > SKIPPED_BYTES:
            self._more += 1
            return
        self.size += entry
        self._skipped[name] = why

    def end(self) -> None:
        """Adds the count, if there is one."""
        if self._more:
            self._skipped[_MORE] = f"{self._more} more were not kept"


def _stored(name: str, file: Stored | None) -> OutputFile | None:
    """Returns an output that is a file of the hub; None for any other."""
    if file is None or file.size is None:
        return None
    return OutputFile(DataRef(file.sha256, "key"), file.size, file.sha256, _media_type(name))


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def _output(name: str, value: Any, keep: Keep, inline: int) -> OutputFile:
    try:
        value = as_javascript(value)
        ref = msgspec.convert(value, DataRef, strict=False) if isinstance(value, dict) else DataRef(value)
    except msgspec.ValidationError as error:
        raise BadDefinition(f"it is not a data ref: {misfit(error)[0]}") from None
    if ref.hash is not None and len(ref.hash) > limits.NAME_LENGTH:
        raise BadDefinition(f"the hash of a ref has at most {limits.NAME_LENGTH} characters")
    kind = _media_type(name)
    if ref.type == "key":
        # The hub does not have it, or not yet. In the dialect a suffix is part of the file's name, not of the blob's.
        name = ref.value if isinstance(ref.value, str) else json_bytes(ref.value).decode()
        sha256 = name.partition(".")[0]
        if SHA256.fullmatch(sha256) is None:
            raise BadDefinition(f"there is no file '{name[:80]}' on the hub")
        return OutputFile(ref=DataRef(sha256, "key"), size=0, sha256=sha256, media_type=kind)
    if ref.type == "url":
        check_url_value(ref.value if isinstance(ref.value, str) else "", "outputs")
        return OutputFile(ref=ref, size=0, sha256="", media_type=kind)
    body = bytes_of(ref)
    sha256 = hashlib.sha256(body).hexdigest()
    if len(body) > inline:
        await keep(body, sha256)
        ref = DataRef(sha256, "key")
    elif ref.type == "base64":
        ref = replace(ref, value=base64.b64encode(body).decode())
    elif not isinstance(ref.value, str):
        ref = replace(ref, type="json")
    return OutputFile(ref=ref, size=len(body), sha256=sha256, media_type=kind)


def bytes_of(ref: DataRef) -> bytes:
    """Returns the bytes of a ref that carries them itself; a value that is no text has those of JSON.

    Raises:
        BadDefinition: The ref is marked as base64 but is not base64.
    """
    if ref.type == "base64":
        return base64_bytes(ref.value, "value")
    if ref.type == "json" or not isinstance(ref.value, str):
        return json_bytes(ref.value)
    return ref.value.encode("utf-8", "replace")
