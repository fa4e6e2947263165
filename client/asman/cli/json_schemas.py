"""JSON Schemas of ``--json`` output, one for each command. Programs may rely on them; fields may be added."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from asman_shared.client_messages import Explanation
from asman_shared.definition import DataRef, Definition
from asman_shared.log_messages import Gap, Stream
from asman_shared.messages import Counts, JobState, Run, Verdict, WorkerState
from asman_shared.states import Phase


class OutputValue(Struct):
    """An output file: its size in bytes (0 if nobody knows it), its sha256 (empty likewise) and its URL."""

    size: int
    sha256: str
    media_type: str
    url: str


class JobValue(JobState, omit_defaults=True):
    """A job: its state, the answer to submitting it, and its result when it is finished."""

    url: str = field(default="")
    answer: Literal["", "queued", "joined", "cached"] = ""
    able: int = 0
    why: str = ""
    earlier: Verdict | None = None
    runs: list[Run] = []
    definition: Definition | None = None
    outputs: dict[str, OutputValue] = {}
    skipped: dict[str, str] = {}
    phases: dict[Phase, int] = {}
    image_digest: str = ""
    saved: list[str] = []
    released: bool = False


class LineValue(Struct, omit_defaults=True):
    """A line of a log.

    ``end`` is the line end that the text had, empty if the next line of the stream goes on where this one stops. If
    ``missing`` is above 0, the line stands for that many lines that are no longer kept.
    """

    seq: int
    time: int
    stream: Stream
    text: str
    phase: Phase
    end: str = "\n"
    missing: int = 0


class SummaryValue(Struct, omit_defaults=True):
    """A summary of a job: its last lines, and the lines around its first error."""

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
    """A deleted job."""

    id: str
    deleted: bool


class Link(Struct):
    """A job's id and a URL that contains the whole job."""

    id: str
    url: str


class NewQueue(Struct):
    """A new queue, and the command that adds a machine to it."""

    queue: str
    url: str
    page: str
    worker: str


class KnownQueue(Struct):
    """A queue that this user has used, most recently at ``used`` (in epoch milliseconds)."""

    url: str
    name: str
    used: int


class Status(Struct):
    """The job counts and the workers of a queue, and whether it is paused."""

    url: str
    queued: int
    running: int
    finished: int
    paused: bool
    workers: list[WorkerState]


class QueueKeys(Struct):
    """URLs of a queue that grant less than its own."""

    read: str
    submit: str
    work: str
    submit_read: str


class Pause(Struct):
    """The time since which a queue is paused, in epoch milliseconds; 0 when it is not."""

    paused: int


class Removed(Struct):
    """The number of jobs that were removed."""

    removed: int


class DeletedQueue(Struct):
    """The number of jobs that are gone, and of workers that were connected."""

    jobs: int
    workers: int


class Retention(Struct):
    """The time for which finished jobs are kept, in milliseconds, and whether it is the queue's own setting."""

    retention: int
    own: bool


class Change(Struct, omit_defaults=True):
    """One change of a queue: of a job, of a worker, or of the totals."""

    kind: Literal["job", "worker", "counts"]
    job: JobState | None = None
    worker: WorkerState | None = None
    counts: Counts | None = None


class Stored(Struct):
    """A stored blob, and the ref by which a job names it."""

    sha256: str
    size: int
    ref: DataRef


class Saved(Struct):
    """A blob that was saved as a file."""

    sha256: str
    size: int
    saved: str


class Up(Struct):
    """A hub and its queue; ``local`` is its address for pages on this machine, or empty."""

    hub: str
    queue: str
    url: str
    page: str
    executor: str
    local: str


class HubValue(Struct):
    """The address of a hub that is ready."""

    hub: str


class WorkerValue(Struct):
    """A worker that a queue accepted at ``time`` (the hub's clock), with ``kept`` jobs that continue after a break."""

    worker: str
    name: str
    executor: str
    time: int
    kept: int


class FindingValue(Struct):
    """The result of one check, and the remedy if there is a problem."""

    what: str
    mark: Literal["ok", "warning", "problem"]
    says: str
    remedy: str


class Examined(Struct):
    """The findings about this machine, and whether it can run jobs."""

    ok: bool
    findings: list[FindingValue]


class BackupValue(Struct):
    """A whole backup: its name, the number of its blobs, its size in bytes, and the number of blobs that were lost."""

    backup: str
    blobs: int
    bytes: int
    lost: int


class RestoredValue(Struct):
    """A backup in a data folder, and the folder with the data that was there; ``folder`` is empty for a check."""

    backup: str
    blobs: int
    folder: str
    replaced: str


class CheckedValue(Struct):
    """The findings about a store.

    ``faults`` lists the first 1000 of ``fault_count``. ``rows`` counts the rows of each table, ``blobs`` and ``bytes``
    the stored blobs. No faults are the blobs that nothing names (``unnamed``), those that definitions wait for
    (``awaited``), and the objects beside the catalogue (``strays``).
    """

    ok: bool
    faults: list[str]
    fault_count: int
    schema: str
    rows: dict[str, int]
    blobs: int
    bytes: int
    unnamed: int
    awaited: int
    strays: int


class MovedValue(Struct):
    """A move: the rows in the new database, the blobs in the new place and their bytes, 0 if they stay; the faults."""

    rows: int
    blobs: int
    bytes: int
    faults: int


SHAPES: Final[dict[str, Any]] = {
    "up": Up,
    "hub": HubValue,
    "worker": WorkerValue,
    "doctor": Examined,
    "backup": BackupValue,
    "restore": RestoredValue,
    "check": CheckedValue,
    "move": MovedValue,
    "run": JobValue,
    "job add": JobValue,
    "job copy": JobValue,
    "job show": JobValue,
    "job wait": JobValue,
    "job result": JobValue,
    "job cancel": JobValue | list[JobValue],
    "job retry": JobValue | list[JobValue],
    "job list": list[JobState],
    "job outputs": dict[str, OutputValue],
    "job logs": LineValue,
    "job summary": SummaryValue,
    "job explain": Explanation,
    "job delete": Deleted | list[Deleted],
    "job url": Link,
    "queue new": NewQueue,
    "queue add": KnownQueue,
    "queue list": list[KnownQueue],
    "queue status": Status,
    "queue keys": QueueKeys,
    "queue retention": Retention,
    "queue pause": Pause,
    "queue resume": Pause,
    "queue purge": Removed,
    "queue delete": DeletedQueue,
    "queue drain": list[WorkerState],
    "job keep": JobValue | list[JobValue],
    "queue watch": Change,
    "blob put": Stored,
    "blob get": Saved,
}
"""Types by command. ``job logs``, ``queue watch`` and ``worker`` write one such value a line."""

_OF_MESSAGES: Final = ("type", "ref")
"""Fields of protocol messages that ``--json`` leaves out."""


def schema_of(command: str) -> dict[str, Any]:
    """Returns the JSON Schema of a command's output."""
    made = msgspec.json.schema(SHAPES[command])
    if SHAPES[command] is Explanation:
        found = made["$defs"]["Explanation"]
        for name in _OF_MESSAGES:
            found["properties"].pop(name, None)
        found["required"] = [name for name in found["required"] if name not in _OF_MESSAGES]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"asman {command} --json", **made}
