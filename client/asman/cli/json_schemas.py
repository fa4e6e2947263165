"""What ``--json`` writes, as JSON Schemas: one for each command. Programs may count on them; fields may be added."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from asman_shared.client_messages import Explanation
from asman_shared.definition import DataRef, Definition
from asman_shared.log_records import Gap, Stream
from asman_shared.messages import Counts, JobState, WorkerState
from asman_shared.states import Phase


class OutputValue(Struct):
    """An output file: bytes, sha256 and where to fetch it."""

    size: int
    sha256: str
    media_type: str
    url: str


class JobValue(JobState, omit_defaults=True):
    """A job: its state, what submitting it did, and what is known of its result when it is finished."""

    url: str = field(default="")
    answer: Literal["", "queued", "joined", "cached"] = ""
    able: int = 0
    why: str = ""
    definition: Definition | None = None
    outputs: dict[str, OutputValue] = {}
    skipped: dict[str, str] = {}
    phases: dict[Phase, int] = {}
    image_digest: str = ""
    saved: list[str] = []
    released: bool = False


class LineValue(Struct, omit_defaults=True):
    """A line of a log; ``missing`` says how many lines before it are no longer kept."""

    seq: int
    time: int
    stream: Stream
    text: str
    phase: Phase
    missing: int = 0


class SummaryValue(Struct, omit_defaults=True):
    """How a job went: its last lines, and what is around the first error."""

    job: JobState
    last: list[LineValue]
    error: list[LineValue]
    lines: int
    missing: int
    phase: Phase | None = None
    step: str = ""
    error_seq: int | None = None
    gaps: list[Gap] = []


class Deleted(Struct):
    """A job that is no more."""

    id: str
    deleted: bool


class Link(Struct):
    """A job as the address of a page."""

    id: str
    url: str


class NewQueue(Struct):
    """A queue, and the command that shares a machine with it."""

    queue: str
    url: str
    page: str
    worker: str


class KnownQueue(Struct):
    """A queue that this user has used, last at ``used`` (epoch milliseconds)."""

    url: str
    name: str
    used: int


class Status(Struct):
    """How many jobs a queue has, and its workers."""

    url: str
    queued: int
    running: int
    finished: int
    workers: list[WorkerState]


class Retention(Struct):
    """Milliseconds for which finished jobs are kept, and whether that is the queue's own word."""

    retention: int
    own: bool


class Change(Struct, omit_defaults=True):
    """One change of a queue: of a job, of a worker, or of the totals."""

    kind: Literal["job", "worker", "counts"]
    job: JobState | None = None
    worker: WorkerState | None = None
    counts: Counts | None = None


class Stored(Struct):
    """A blob, and the ref by which a job names it."""

    sha256: str
    size: int
    ref: DataRef


class Saved(Struct):
    """A blob that was written into a file."""

    sha256: str
    size: int
    saved: str


class Up(Struct):
    """A hub and its queue; ``local`` is where pages on this machine find it, or empty."""

    hub: str
    queue: str
    url: str
    page: str
    executor: str
    local: str


class HubValue(Struct):
    """A hub that listens: its address."""

    hub: str


class WorkerValue(Struct):
    """A worker that a queue has taken, at ``time`` of the hub's clock; ``kept`` jobs go on from before a break."""

    worker: str
    name: str
    executor: str
    time: int
    kept: int


class FindingValue(Struct):
    """One thing that was looked at, and what to do when it is not well."""

    what: str
    mark: Literal["ok", "warning", "problem"]
    says: str
    remedy: str


class Examined(Struct):
    """Whether this machine can work, and why."""

    ok: bool
    findings: list[FindingValue]


SHAPES: Final[dict[str, Any]] = {
    "up": Up,
    "hub": HubValue,
    "worker": WorkerValue,
    "doctor": Examined,
    "run": JobValue,
    "job add": JobValue,
    "job copy": JobValue,
    "job show": JobValue,
    "job wait": JobValue,
    "job result": JobValue,
    "job cancel": JobValue,
    "job list": list[JobState],
    "job outputs": dict[str, OutputValue],
    "job logs": LineValue,
    "job summary": SummaryValue,
    "job explain": Explanation,
    "job delete": Deleted,
    "job url": Link,
    "queue new": NewQueue,
    "queue list": list[KnownQueue],
    "queue status": Status,
    "queue retention": Retention,
    "queue watch": Change,
    "blob put": Stored,
    "blob get": Saved,
}
"""By command. ``job logs``, ``queue watch`` and ``worker`` write one such value a line."""

_OF_MESSAGES: Final = ("type", "ref")


def schema_of(command: str) -> dict[str, Any]:
    """The JSON Schema of what a command writes."""
    made = msgspec.json.schema(SHAPES[command])
    if SHAPES[command] is Explanation:
        found = made["$defs"]["Explanation"]
        for name in _OF_MESSAGES:
            found["properties"].pop(name, None)
        found["required"] = [name for name in found["required"] if name not in _OF_MESSAGES]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"asman {command} --json", **made}
