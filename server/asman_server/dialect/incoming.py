"""Messages from clients and workers of the dialect: read leniently, and bounded."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from asman_shared import limits, ranges
from asman_shared.errors import BadRequest
from asman_shared.ranges import FrameText

NAMESPACE: Final = "_"
T = TypeVar("T")
Several = Annotated[list[T], Meta(max_length=limits.WEBSOCKET_BYTES)]
"""A list that is as long as a frame can hold."""


class Call(Struct, rename="camel"):
    """A webhook of a submission."""

    url: ranges.CallbackUrl
    payload: Any = None
    whole_queue: bool = False


class Callbacks(Struct):
    """The webhooks of one submission."""

    queued: Call | None = None
    finished: Call | None = None


class Control(Struct, rename="camel"):
    """The settings of a submission that are not part of the job."""

    namespace: ranges.Namespace | None = None
    callbacks: Callbacks | None = None
    max_duration: ranges.LooseDuration | None = None


class EnqueueJob(Struct):
    """A job to submit. A run does not depend on ``debug`` and unknown members, so they are not read."""

    definition: Any = None
    id: FrameText | None = None
    control: Control | None = None


class Copy(Struct):
    """The queue that a job is submitted to again."""

    queue: FrameText
    control: Control | None = None


class Value(Struct):
    """The value of a change of any state; ``type`` is not needed to read it."""

    enqueued: EnqueueJob | None = None
    worker: FrameText | None = None
    reason: FrameText | None = None
    message: FrameText | None = None
    namespace: FrameText | None = None
    result: Any = None


class StateChange(Struct):
    """A submission, a claim, a cancel or an end."""

    state: FrameText
    job: FrameText
    value: Value = msgspec.field(default_factory=Value)
    tag: FrameText | None = None


class Query(Struct, rename="camel"):
    """Asks for one job."""

    job_id: FrameText


class Registration(Struct, rename="camel"):
    """A worker's report of its capacity and jobs."""

    id: ranges.WorkerName
    version: FrameText | None = None
    cpus: ranges.LooseCpus | None = None
    gpus: ranges.Gpus | None = None
    max_job_duration: ranges.LooseDuration | ranges.LooseMillis | None = None


class Logs(Struct, rename="camel"):
    """Lines of a job: each ``[text, ms]`` or ``[text, ms, true]``."""

    job_id: FrameText
    step: FrameText = ""
    logs: Several[Several[Any]] = []


class Wanted(Struct, rename="camel"):
    """Definitions that a worker asks for."""

    job_ids: Several[FrameText] = []


class Envelope(Struct):
    """Every message."""

    type: FrameText
    payload: msgspec.Raw = msgspec.Raw(b"null")


_envelope: Final = msgspec.json.Decoder(Envelope).decode
_PAYLOADS: Final[dict[str, Any]] = {
    "StateChange": msgspec.json.Decoder(StateChange).decode,
    "QueryJob": msgspec.json.Decoder(Query).decode,
    "WorkerRegistration": msgspec.json.Decoder(Registration).decode,
    "JobStatusLogs": msgspec.json.Decoder(Logs).decode,
    "RequestJobDefinitions": msgspec.json.Decoder(Wanted).decode,
}


def hear(text: bytes) -> tuple[str, Any]:
    """A message's type and its payload; the payload is None where the dialect has none.

    Raises:
        BadRequest: The message can't be read; the dialect has no answer for that, and the session continues.
    """
    try:
        envelope = _envelope(text)
        decode = _PAYLOADS.get(envelope.type)
        return envelope.type, decode(envelope.payload) if decode is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(str(error)) from None
