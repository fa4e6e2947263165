"""The parts of messages, and the messages that travel both ways; see `asman_shared.messages`."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from . import limits, ranges
from .definition import DataRef
from .errors import AsmanError, error_for
from .ranges import Count, Millis, Ref
from .states import Fault, Phase, Reason, State

STDOUT, STDERR, SYSTEM = 0, 1, 2
"""The streams of a log line; ``SYSTEM`` lines are written by the worker about the job."""

LF, CRLF, NO_END = 0, 1, 2
"""The ends of a log line: ``\\n``, ``\\r\\n``, or none because the line goes on or its stream ended."""
LINE_ENDS = ("\n", "\r\n", "")
"""The bytes of each end."""


_OF_NOTHING: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The sha256 of an empty file."""


class Message(Struct, tag_field="type", omit_defaults=True):
    """Base of all messages and their parts."""


class Ping(Message, tag="ping"):
    """Asks for a sign of life; answered by `Pong` with the same ``ref``."""

    ref: Ref = 0


class Pong(Message, tag="pong"):
    """Answers a `Ping`."""

    ref: Ref = 0


class Error(Message, tag="error"):
    """The answer to a failed request, or (without ``ref``) a report of a broken message.

    Codes are those of `asman_shared.errors`; ``field`` is the path of the faulty value; ``retry`` means that the
    same request may succeed later, and ``retry_after`` is the time after which, in milliseconds, where it is known.
    """

    code: str
    message: str
    ref: Ref | None = None
    field: str | None = None
    retry: bool = False
    retry_after: int | None = None

    @classmethod
    def of(cls, error: AsmanError, ref: int | None) -> Error:
        """Returns the message for an error, about the request ``ref`` if there is one."""
        after = None if error.retry_after is None else ceil(error.retry_after * 1000)
        return cls(error.code, error.message, ref, error.field, error.retry, after)

    @property
    def error(self) -> AsmanError:
        """The exception that this message tells of."""
        after = None if self.retry_after is None else self.retry_after / 1000
        return error_for(self.code, self.message, self.field, after)


class RateLimit(Struct, omit_defaults=True):
    """A limit of the hub on a sender.

    Attributes:
        what: The things that are limited: ``submits``, ``queued`` (jobs that wait), ``bytes`` (of blobs and logs that
            are stored), ``connections`` or ``queues`` (new ones).
        of: The party that it counts for: the sender's ``address``, the ``key`` in its address, or the ``queue``.
        most: The number that may come at once, or that there may be at the same time.
        rate: The number that is added to that in a second; absent for a limit on what there is at the same time.
        left: The number that may come at once now, with ``rate``.
    """

    what: str
    of: str
    most: int
    rate: float | None = None
    left: int | None = None


class Summary(Struct, gc=False, omit_defaults=True):
    """The part of a job's definition that a list shows."""

    image: str = ""
    build: str = ""
    command: str = ""
    tags: tuple[str, ...] = ()
    cpus: float = 1.0
    memory: int = 0
    gpus: int = 0


class Verdict(Struct, omit_defaults=True):
    """The end of a finished job, for programs.

    Attributes:
        ok: The container ran and exited 0.
        reason: Why the job is finished.
        exit_code: Exit code of the container, if it ran to its end.
        message: One sentence for people, if the run did not end by itself or something else went wrong.
        hint: The remedy.
        fault: For reason ``Error``: the party at fault.
        outputs: Number of output files in the result.
        lines: Number of log lines (the next line's seq).
        duration: Time from the attempt's start to its end, in milliseconds.
    """

    ok: bool
    reason: Reason
    exit_code: int | None = None
    message: str = ""
    hint: str = ""
    fault: Fault | None = None
    outputs: int = 0
    lines: int = 0
    duration: int = 0


class JobState(Struct, omit_defaults=True):
    """The present state of a job; complete each time, so that the newest one replaces all older ones.

    Of two states, that of the later ``queued`` is newer; of the same ``queued``, that of the greater ``rev``. Each run
    has its own ``queued``. ``rev`` grows with each change, and begins again with a job that was removed and submitted
    anew. ``summary`` comes in lists and with the first change of a run, and is left out of the later changes.
    ``log_start`` is the seq of the run's first log line: seqs keep growing when a job runs again. ``back`` says, if an
    attempt of this run came to nothing, what became of the latest of them: ``worker 'x' was lost``. ``run`` counts the
    runs of the job; `ListRuns` tells of the earlier ones. ``kept`` says that the job is not removed when its retention
    ends.
    """

    id: str
    rev: int
    state: State
    attempt: int = 0
    phase: Phase | None = None
    queued: int = 0
    started: int = 0
    finished: int = 0
    worker: str = ""
    namespaces: list[str] = []
    priority: int = 0
    log_start: int = 0
    verdict: Verdict | None = None
    summary: Summary | None = None
    back: str = ""
    run: int = 1
    kept: bool = False

    @property
    def version(self) -> tuple[int, int]:
        """The place of this state among all states of the job; the greatest is the newest."""
        return self.queued, self.rev


class Run(Struct, omit_defaults=True):
    """One run of a job: a run is a decision to execute the job, and an attempt is one assignment of it.

    Attributes:
        number: Its place among all runs of the job, from 1 on.
        queued: Time of the submission that began it, in epoch milliseconds; no two runs of a job have the same.
        started: Time at which its last attempt was assigned, likewise; 0 if none was.
        ran: Time at which the container of its last attempt began to run, likewise; 0 if it did not.
        finished: Time at which it ended, likewise.
        attempt: The number of its last attempt; 0 if it had none.
        worker: Name of the worker of its last attempt.
        reason: The way it ended; absent while it has not. With ``exit_code``, ``message``, ``hint``, ``fault`` and
            ``duration`` as in `Verdict`. Long texts are cut.
        log_start: The seq of its first log line.
        lines: The seq after its last log line.
        log_bytes: Size of its log in bytes.
        log_kept: Whether its log can still be read.
        present: Whether it is the job's present run.
    """

    number: int
    queued: int
    reason: Reason | None = None
    started: int = 0
    ran: int = 0
    finished: int = 0
    attempt: int = 0
    worker: str = ""
    exit_code: int | None = None
    message: str = ""
    hint: str = ""
    fault: Fault | None = None
    duration: int = 0
    log_start: int = 0
    lines: int = 0
    log_bytes: int = 0
    log_kept: bool = True
    present: bool = False


class OutputFile(Struct, omit_defaults=True):
    """One file from ``/outputs``.

    Attributes:
        ref: Reference to its bytes (usually ``{type: key, value: sha256}``).
        size: Size in bytes; 0 for a file whose size is not known, see `known_size`.
        sha256: The sha256 of its bytes; empty if it is not known.
        media_type: Media type, guessed from the name.
        mode: Permission bits.
    """

    ref: DataRef
    size: Count
    sha256: ranges.Word
    media_type: ranges.ReportText = "application/octet-stream"
    mode: ranges.FileMode = 0o644

    @property
    def known_size(self) -> int | None:
        """The size in bytes; None if nobody knows it: a worker may name a file whose bytes it never had."""
        known = self.size or self.sha256 == _OF_NOTHING or self.ref.type not in ("key", "url")
        return self.size if known else None


class StepEnd(Struct, omit_defaults=True):
    """The end of one of the commands of a job with steps.

    Attributes:
        exit_code: Exit code of its container.
        started: Time at which its container started, in epoch milliseconds.
        finished: Time at which it ended, likewise.
        first: Seq of its first log line.
        next: Seq after its last log line.
    """

    exit_code: ranges.ExitCode
    started: Millis
    finished: Millis
    first: Count
    next: Count


class Result(Struct, omit_defaults=True):
    """The stored result of a finished attempt, apart from its log.

    Attributes:
        outputs: Output files by name.
        skipped: Reason by name, for files that were not collected.
        phases: Duration of each phase, in milliseconds.
        image_digest: Digest of the image that ran.
        origin: Source of that image, if the worker built it: ``https://…@<commit>``, ``sha256:…`` of an
            archive, or ``key:…`` of an uploaded one.
        worker: The worker's name.
        steps: The ends of the commands that ran, if the job has `Definition.steps`.
    """

    outputs: Annotated[dict[ranges.ReportText, OutputFile], Meta(max_length=limits.OUTPUTS)] = {}
    skipped: Annotated[dict[ranges.ReportText, ranges.ReportText], Meta(max_length=limits.SKIPPED)] = {}
    phases: dict[Phase, Millis] = {}
    image_digest: ranges.ReportText = ""
    origin: ranges.ReportText = ""
    worker: ranges.ReportText = ""
    steps: Annotated[list[StepEnd], Meta(max_length=limits.STEPS + 1)] = []


class Outcome(Struct, omit_defaults=True):
    """The end of an attempt, as its worker saw it.

    Attributes:
        kind: ``exited`` (see ``exit_code``), ``error`` (could not be run), ``timed_out`` or ``out_of_memory``.
        exit_code: Exit code of the container; with ``error``, the run ended so, but its outputs could not be stored.
        message: One sentence, for anything but ``exited``; with ``exited``, a trouble beside the exit code, such as
            outputs that could not be stored, or a process that ran out of memory.
        fault: For ``error``: the party at fault.
        lines: The seq after the last log line of the attempt.
        duration: Duration of the attempt, in milliseconds.
        result: Outputs and the rest.
    """

    kind: Literal["exited", "error", "timed_out", "out_of_memory"]
    exit_code: ranges.ExitCode | None = None
    message: ranges.ReportText = ""
    fault: Fault = Fault.JOB
    lines: Count = 0
    duration: Millis = 0
    result: Result = field(default_factory=Result)


class LogLine(Struct, array_like=True, gc=False):
    """One line: ``[seq, time, stream, text, phase, end]``.

    ``seq`` counts from 0 over all attempts and runs of a job; where it jumps, the lines between are no longer kept.
    ``stream`` is `STDOUT`, `STDERR` or `SYSTEM`. ``text`` has no line end; one that ended in a carriage return keeps
    it. ``end`` is the end that was removed: 0 for a line feed, 1 for a carriage return and a line feed, 2 for none: the
    next line of the stream goes on where this one stops, or the stream ended. So ``text`` and ``end`` of a stream's
    lines are all that it wrote.
    """

    seq: Count
    time: Millis
    stream: Annotated[int, Meta(ge=STDOUT, le=SYSTEM)]
    text: ranges.LineText
    phase: Phase = Phase.RUNNING
    end: Annotated[int, Meta(ge=LF, le=NO_END)] = LF


class WorkerState(Struct, omit_defaults=True):
    """The known state of one worker process.

    ``id`` is a short random name of the process; ``state`` is ``ready``, ``draining``, ``away`` (its connection is
    lost and its grace runs) or ``gone``. Of a worker that has not come back since the hub started, only the name and
    the jobs are known, and ``executor`` is empty. ``remark`` is a sentence about its machine for people.
    """

    id: str
    rev: int
    state: Literal["ready", "draining", "away", "gone"]
    name: str = ""
    agent: str = ""
    cpus: float = 0
    memory: int = 0
    gpus: int = 0
    tags: list[str] = []
    platform: str = ""
    max_duration: int = 0
    executor: str = ""
    jobs: int = 0
    used_cpus: float = 0
    used_memory: int = 0
    used_gpus: int = 0
    since: int = 0
    remark: str = ""


class Counts(Struct, omit_defaults=True):
    """Number of a queue's jobs in each state, number of connected workers, and whether the queue is paused."""

    queued: int = 0
    running: int = 0
    finished: int = 0
    workers: int = 0
    paused: bool = False


class Resume(Struct):
    """The last change that a client has seen."""

    epoch: ranges.Epoch
    seq: Count


class Limits(Struct):
    """The limits of this connection."""

    frame: int = limits.FRAME_BYTES
    inline: int = limits.INLINE_BYTES
    definition: int = limits.DEFINITION_BYTES
    page: int = limits.LIST_PAGE


Need = Literal["", "cpus", "memory", "gpus", "tags", "platform", "duration", "worker", "capacity", "turn", "pause"]
"""Reason why a job waits: a requirement that no worker meets, any ``worker``, free ``capacity``, its ``turn``, or
the end of the queue's ``pause``."""


class Problem(Struct):
    """One fault of a definition: its place (``definition.requirements.memory``) and a sentence."""

    field: str
    message: str


class BlobPart(Struct):
    """One part of a blob that is sent in parts: ``size`` bytes from ``offset`` on go to ``url``, as its ticket says.

    ``number`` counts from 1.
    """

    number: int
    offset: int
    size: int
    url: str


class BlobTicket(Struct, omit_defaults=True):
    """The missing bytes of one blob and the way to send them, or the report that the blob is stored.

    The uploader asks, sends the bytes that the ticket calls missing, and asks again until the ticket says ``exists``.
    Parts that were sent before a break are not asked for again, so an uploader resumes by asking.

    Attributes:
        sha256: The blob.
        exists: The blob is stored and verified.
        pending: All bytes have arrived and are being verified; ask again.
        refused: A sentence, if earlier bytes did not match the sha256 and were removed. It is sent once.
        url: Address for the whole blob; empty when it is sent in ``parts``. Like the addresses of the parts, it may be
            relative to the hub's address.
        method: HTTP method for the blob, or for each part.
        headers: HTTP headers for the blob, or for each part.
        expires: End of the addresses' validity, in epoch milliseconds.
        parts: The next missing parts, at most `limits.PARTS_PER_TICKET`.
        missing: Number of bytes that have not arrived yet, over all parts.
    """

    sha256: str
    exists: bool = False
    pending: bool = False
    refused: str = ""
    url: str = ""
    method: str = "PUT"
    headers: dict[str, str] = {}
    expires: int = 0
    parts: list[BlobPart] = []
    missing: int = 0


class BlobLink(Struct, omit_defaults=True):
    """The address to read one blob from; an empty ``url`` means that it is not stored here."""

    sha256: str
    url: str = ""
    size: int = 0
    expires: int = 0
