"""The table of ranges: the least and the greatest of every number, text and list that comes from outside.

A type of the first part is enforced by whatever decodes a message. A type of the second part only shows its bound, in
the schemas and in docs/protocol.md: there `definition_check`, which names the field with ``definition`` before it, or
the receiver enforces it. Definitions, results and log lines are also read from databases, where they may be older than
a bound. docs/errors.md lists all of it (`scripts.range_docs`).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from . import limits

# ---------------------------------------------------------------------------------------------- enforced by decoding

Count = Annotated[int, Meta(ge=0, le=limits.WHOLE)]
Millis = Annotated[int, Meta(ge=0, le=limits.WHOLE)]
Ref = Annotated[int, Meta(ge=0, le=limits.WHOLE)]
Seq = Annotated[int, Meta(ge=0, le=limits.WHOLE)]
Protocol = Annotated[int, Meta(ge=0, le=limits.WHOLE)]
Priority = Annotated[int, Meta(ge=-limits.PRIORITY, le=limits.PRIORITY)]
Attempts = Annotated[int, Meta(ge=1, le=limits.ATTEMPTS)]
JobsPage = Annotated[int, Meta(ge=1, le=limits.LIST_PAGE)]
LogPage = Annotated[int, Meta(ge=1, le=limits.LOG_PAGE_LINES)]
ContextLines = Annotated[int, Meta(ge=0, le=limits.LOG_CONTEXT_LINES)]
WorkerCpus = Annotated[float, Meta(gt=0, le=limits.CPUS)]
WorkerGpus = Annotated[int, Meta(ge=0, le=limits.GPUS)]
ExitCode = Annotated[int, Meta(ge=-(2**31), le=2**32 - 1)]
FileMode = Annotated[int, Meta(ge=0, le=0o7777)]

JobId = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
"""The length refuses the line feed that a pattern allows at the end of a text."""
Label = Annotated[str, Meta(min_length=1, max_length=limits.LABEL_LENGTH)]
Incarnation = Annotated[str, Meta(min_length=16, max_length=64)]
Agent = Annotated[str, Meta(max_length=limits.AGENT_LENGTH)]
Epoch = Annotated[str, Meta(max_length=limits.NAME_LENGTH)]
Word = Annotated[str, Meta(max_length=64)]
Unit = Annotated[str, Meta(max_length=16)]
WaitSeconds = Annotated[int, Meta(ge=0, le=limits.WAIT_SECONDS)]
ToolTextBytes = Annotated[int, Meta(ge=1, le=limits.TOOL_TEXT_BYTES)]
FileText = Annotated[str, Meta(max_length=limits.FRAME_BYTES)]
LogPattern = Annotated[str, Meta(max_length=limits.LOG_PATTERN_LENGTH)]
ReportText = Annotated[str, Meta(max_length=limits.REPORT_LENGTH)]
FrameText = Annotated[str, Meta(max_length=limits.WEBSOCKET_BYTES)]
DURATION_PATTERN = "^(?=[0-9])([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,9}([.][0-9]{1,3})?s)?([0-9]{1,12}ms)?$"
"""The form of a duration in words of JSON Schema; `asman_shared.units.parse_duration` reads it."""
DurationText = Annotated[str, Meta(max_length=limits.UNIT_LENGTH, extra_json_schema={"pattern": DURATION_PATTERN})]
LimitText = Annotated[
    str, Meta(max_length=limits.UNIT_LENGTH, extra_json_schema={"pattern": f"^(?=.*[1-9]){DURATION_PATTERN[1:]}"})
]
"""A duration that is not zero: a time limit that is left out is none."""

# --------------------------------------------------------------------------------- shown here, enforced by a receiver


def shown(**schema: Any) -> Meta:
    """Returns a bound in the words of JSON Schema that decoding doesn't enforce."""
    return Meta(extra_json_schema=schema)


DefinitionText = Annotated[str, shown(maxLength=limits.DEFINITION_BYTES)]
Version = Annotated[int, shown(minimum=-limits.WHOLE, maximum=limits.WHOLE)]
VersionText = Annotated[str, shown(maxLength=limits.LABEL_LENGTH)]
Image = Annotated[str, shown(minLength=1, maxLength=limits.IMAGE_LENGTH)]
Context = Annotated[str, shown(maxLength=limits.CONTEXT_LENGTH)]
Path = Annotated[str, shown(maxLength=limits.BUILD_PATH_LENGTH)]
Stage = Annotated[str, shown(maxLength=limits.NAME_LENGTH)]
Platform = Annotated[str, shown(maxLength=limits.PLATFORM_LENGTH)]
Argument = Annotated[str, shown(maxLength=limits.ARGUMENT_BYTES)]
Arguments = Annotated[list[Argument], shown(maxItems=limits.ARGUMENTS)]
BuildArguments = Annotated[list[Argument], shown(maxItems=limits.ENV_ENTRIES)]
EnvName = Annotated[str, shown(minLength=1, maxLength=limits.ENV_NAME_LENGTH)]
Env = Annotated[dict[EnvName, Argument], shown(maxProperties=limits.ENV_ENTRIES)]
FileName = Annotated[str, shown(minLength=1, maxLength=limits.PATH_LENGTH)]
OutputName = Annotated[str, Meta(min_length=1, max_length=limits.PATH_LENGTH)]
"""The name of an output file that is asked for."""
Tag = Annotated[str, shown(minLength=1, maxLength=limits.LABEL_LENGTH)]
Tags = Annotated[list[Tag], shown(maxItems=limits.TAGS)]
Volumes = Annotated[list[FileName], shown(maxItems=limits.VOLUMES)]
OutputPattern = Annotated[str, shown(minLength=1, maxLength=limits.PATH_LENGTH + limits.BUILD_PATH_LENGTH)]
"""With the URL that the files are written to; the pattern alone is a `FileName`."""
Patterns = Annotated[list[OutputPattern], shown(maxItems=limits.OUTPUT_PATTERNS)]
Checksum = Annotated[str, shown(maxLength=limits.NAME_LENGTH)]
UnitText = Annotated[str, shown(minLength=1, maxLength=limits.UNIT_LENGTH)]
Cpus = Annotated[float, shown(minimum=limits.LEAST_CPUS, maximum=limits.CPUS)]
WholeCpus = Annotated[int, shown(minimum=1, maximum=limits.CPUS)]
Gpus = Annotated[int, shown(minimum=0, maximum=limits.GPUS)]
TimeLimit = Annotated[int, shown(minimum=1, maximum=limits.WHOLE)]
"""In milliseconds; the receiver refuses zero in a sentence that says how to ask for no limit."""
CallbackUrl = Annotated[str, shown(minLength=1, maxLength=limits.CALLBACK_URL_BYTES)]
Namespace = Annotated[str, shown(maxLength=limits.LABEL_LENGTH)]
LooseDuration = Annotated[str, shown(maxLength=limits.UNIT_LENGTH)]
LooseLimit = Annotated[str, shown(minLength=1, maxLength=limits.UNIT_LENGTH)]
LooseMillis = Annotated[int, shown(minimum=0, maximum=limits.WHOLE)]
WorkerName = Annotated[str, shown(minLength=1, maxLength=limits.LABEL_LENGTH)]
LooseCpus = Annotated[float, shown(minimum=limits.LEAST_CPUS, maximum=limits.CPUS)]
LineText = Annotated[str, shown(maxLength=limits.LOG_LINE_BYTES, description="a longer line is cut")]
