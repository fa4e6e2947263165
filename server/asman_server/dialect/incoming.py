"""Messages from clients and workers of the dialect: read leniently, and bounded."""

from __future__ import annotations

import re
from itertools import islice
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from asman_shared import half_characters, limits, ranges
from asman_shared.address import OLDER_NAME, QUEUE_KEY
from asman_shared.errors import AsmanError, BadRequest, Unavailable, misfit
from asman_shared.messages import Register
from asman_shared.ranges import FrameText
from asman_shared.states import State
from asman_shared.units import format_size, parse_duration

from .ids import duration
from .outgoing import incarnation_of

NAMESPACE: Final = "_"
EARLY_MESSAGES: Final = 100
"""Largest number of messages of a worker before its registration; they are handled after it."""
EARLY_BYTES: Final = limits.WEBSOCKET_BYTES
"""Largest size of these messages together, in bytes: any single message fits."""
EARLY_BYTES_OF_ALL: Final = 4 * EARLY_BYTES
"""Largest size of these messages of all workers of a hub together, in bytes."""
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
    max_duration: ranges.LooseLimit | ranges.LooseMillis | None = None


class EnqueueJob(Struct):
    """A job to submit. A run does not depend on ``debug``, which lists show, nor on unknown members."""

    definition: Annotated[Any, ranges.shown(type="object")] = None
    id: FrameText | None = None
    control: Control | None = None
    debug: Any = None


class Copy(Struct):
    """The queue that a job is submitted to again."""

    queue: Annotated[FrameText, ranges.shown(pattern=f"^({QUEUE_KEY}|{OLDER_NAME})$")]
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
    tag: Any = None


class Query(Struct, rename="camel"):
    """Asks for one job."""

    job_id: FrameText


class Registration(Struct, rename="camel"):
    """A worker's report of its capacity and jobs; numbers may be texts, as a script reads them from its environment.

    ``executor`` is ``process`` for a worker that runs jobs without containers. No earlier worker has this member.
    """

    id: ranges.WorkerName
    version: Any = None
    cpus: ranges.LooseCpus | None = None
    gpus: ranges.Gpus | None = None
    max_job_duration: ranges.LooseDuration | ranges.LooseMillis | None = None
    executor: Any = None


class Logs(Struct, rename="camel"):
    """Lines of a job: each ``[text, ms]`` or ``[text, ms, true]``; what is something else costs itself alone."""

    job_id: FrameText
    step: Any = ""
    logs: Several[Any] | None = None


class Wanted(Struct, rename="camel"):
    """Definitions that a worker asks for."""

    job_ids: Several[Any] | None = None


class Envelope(Struct):
    """Every message."""

    type: FrameText
    payload: msgspec.Raw = msgspec.Raw(b"null")


_envelope: Final = msgspec.json.Decoder(Envelope).decode
_PAYLOADS: Final[dict[str, Any]] = {
    "StateChange": msgspec.json.Decoder(StateChange).decode,
    "QueryJob": msgspec.json.Decoder(Query).decode,
    "WorkerRegistration": msgspec.json.Decoder(Registration, strict=False).decode,
    "JobStatusLogs": msgspec.json.Decoder(Logs).decode,
    "RequestJobDefinitions": msgspec.json.Decoder(Wanted).decode,
}


def hear(text: bytes) -> tuple[str, Any]:
    """A message's type and its payload; the payload is None where the dialect has none.

    Logs and ends of runs, which their worker sends once, are read as far as they can be: half a character becomes
    U+FFFD, and a value that is nested too deeply is cut at a depth at which no output may have it.

    Raises:
        BadRequest: The message can't be read; the error names the member at fault.
    """
    try:
        try:
            return _decoded(text)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = _mended(text)
            if found is None:
                raise
            return found
    except RecursionError:
        raise BadRequest(f"values may be nested at most {limits.VALUE_DEPTH} levels deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        at = half_characters.place(text) if not isinstance(error, msgspec.ValidationError) else None
        sentence, path = misfit(error) if at is None else (half_characters.SAYS, at)
        raise BadRequest(sentence, field=path.removeprefix("payload.") or None) from None


def _decoded(text: bytes) -> tuple[str, Any]:
    envelope = _envelope(text)
    decode = _PAYLOADS.get(envelope.type)
    return envelope.type, decode(envelope.payload) if decode is not None else None


def _mended(text: bytes) -> tuple[str, Any] | None:
    """Returns logs or an end of a run without the parts that kept them from being read; None if that is no help."""
    text = half_characters.replaced(text)
    try:
        kind, payload = _decoded(text)
    except RecursionError:
        try:
            kind, payload = _decoded(_without_depths(text, _CUT_DEPTH))
        except (msgspec.DecodeError, RecursionError):
            return None
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return None
    ended = isinstance(payload, StateChange) and payload.state == State.FINISHED
    return (kind, payload) if ended or isinstance(payload, Logs) else None


class _Change(Struct):
    state: str = ""
    job: str = ""


class _Outer(Struct):
    type: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"null")


def placed(error: BadRequest) -> str:
    """Returns the sentence of an error of reading, after the member at fault if there is one."""
    return f"{error.field}: {error.message}" if error.field else error.message


class Unread(Struct, frozen=True):
    """Parts of a message that can't be read.

    Attributes:
        type: The message's type; empty if it has none.
        state: The state, if it is a change of one.
        job: The job that changes.
    """

    type: str = ""
    state: str = ""
    job: str = ""


def unread(text: bytes) -> Unread:
    """Reads as much of an unreadable message as its sender needs to be answered."""
    text = half_characters.in_bytes(text)
    try:
        try:
            found = msgspec.json.decode(text, type=_Outer)
        except RecursionError:
            found = msgspec.json.decode(_without_depths(text, _SHOWN_DEPTH), type=_Outer)
        change = msgspec.json.decode(found.payload, type=_Change) if found.type == "StateChange" else _Change()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unread()
    return Unread(found.type, change.state, change.job)


class EarlyRoom:
    """Counts the bytes of messages that wait for registrations, for all connections of a hub."""

    def __init__(self) -> None:
        self.used = 0


class EarlyMessages:
    """The messages of one worker before its registration, as they came, because values take more memory.

    Args:
        room: The hub's room for such messages. `take` gives this connection's part back.
    """

    def __init__(self, room: EarlyRoom) -> None:
        self._room = room
        self._texts: list[bytes] = []
        self._bytes = 0

    def add(self, text: bytes) -> None:
        """Keeps a message.

        Raises:
            BadRequest: The worker has sent too much before its registration.
            Unavailable: All workers together have.
        """
        if len(self._texts) == EARLY_MESSAGES or self._bytes + len(text) > EARLY_BYTES:
            bounds = f"at most {EARLY_MESSAGES} messages and {format_size(EARLY_BYTES)} wait"
            raise BadRequest(f"a worker registers first: {bounds}")
        if self._room.used + len(text) > EARLY_BYTES_OF_ALL:
            raise Unavailable("too many messages wait for registrations of workers; try again later")
        self._texts.append(text)
        self._bytes += len(text)
        self._room.used += len(text)

    def take(self) -> list[bytes]:
        """Returns the messages, which are forgotten here."""
        taken, self._texts = self._texts, []
        self._room.used -= self._bytes
        self._bytes = 0
        return taken


_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]+|[\]}]+', re.DOTALL)
_TOKENS: Final = 200_000
"""Most tokens of a message that are looked at for its depths; a message with more is not answered."""
_SHOWN_DEPTH: Final = 3
"""Depth of a change's value: the members that say which change it is are above."""

_CUT_DEPTH: Final = limits.VALUE_DEPTH + 20
"""Depth at which an end of a run is cut: an output's value that is nested so deeply is refused by itself."""


def _without_depths(text: bytes, shown: int) -> bytes:
    """Returns a JSON document with null for each value that is deeper than ``shown``."""
    kept: list[bytes] = []
    depth = start = 0
    for token in islice(_TOKEN.finditer(text), _TOKENS):
        many = token.end() - token.start()
        if token[0][:1] in b"[{":
            if depth <= shown < depth + many:
                kept += [text[start : token.start() + shown - depth], b"null"]
            depth += many
        elif token[0][:1] in b"]}":
            if depth - many <= shown < depth:
                start = token.start() + depth - shown
            depth -= many
    return b"".join([*kept, text[start:]]) if depth <= shown else b""


def registration_of(said: Registration) -> Register | None:
    """Returns the registration, each number within the bounds of the core; None if the worker has no usable id."""
    if not 0 < len(said.id) <= limits.LABEL_LENGTH:
        return None
    return Register(
        incarnation=incarnation_of(said.id),
        name=said.id,
        cpus=min(max(said.cpus if said.cpus is not None else 1, 0.001), 100_000),
        agent=str(said.version)[:200] if isinstance(said.version, str | int | float) else "",
        gpus=min(max(said.gpus or 0, 0), 10_000),
        max_duration=_duration(said.max_job_duration),
        executor="json dialect",
    )


def _duration(given: str | int | None) -> int:
    """Returns the longest duration of a job that a worker takes, in milliseconds; 0 for any, or if it can't be read."""
    try:
        return parse_duration(str(duration(given))) if given else 0
    except AsmanError:
        return 0
