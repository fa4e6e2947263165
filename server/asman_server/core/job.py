"""One job of a queue: everything that the hub knows of it except its definition, log and result."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace
from mypy_extensions import mypyc_attr

from asman_shared.definition import BARE_SHAPE, MACHINE, Shape, source_of
from asman_shared.messages import Run, Summary, Verdict
from asman_shared.states import Phase, State

from .callbacks import Hook
from .job_record import PLAIN, JobRecord

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(JobRecord).decode


@mypyc_attr(acyclic=True)
class Job:
    """A job, kept in memory while it is not finished and stored as a `JobRecord`.

    Attributes:
        id: Hash of the definition.
        number: Its place in the order of queueing; every new run in the queue gets a higher one.
        rev: Grows with every change.
        attempt: The fencing token: grows with every assignment, over all runs, and never falls.
        floor: An attempt number that a worker may still speak of, from before a crash or before the job was removed;
            the next attempt gets a higher one.
        losses: Workers lost in this run.
        worker: Incarnation of the worker that has the current attempt.
        worker_name: Name of that worker, for people.
        holders: Namespaces that hold the job, in the order of submission.
        lane: Namespace whose turn it uses.
        forced: Whether the run was requested although a cached result exists.
        previous: The cached verdict, which stays valid until a forced run replaces it.
        back: The reason, as a sentence without its end, why the latest attempt of this run that came to nothing did.
        returned: Time at which it came back to the queue after a lost attempt, in epoch milliseconds; 0 if it did not.
        ran: Time at which the container began to run, in epoch milliseconds.
        phase_limits: Time limits of phases other than running, in milliseconds, where the job has them.
        log_start: Seq of the first log line of this run. Seqs grow over all runs of a job, so a reader that follows the
            job through a new run neither misses a line nor takes a new one for an old one.
        log_next: Seq of the next log line.
        log_attempt: Seq of the first log line of the present attempt; lines of this run before it are of lost attempts.
        log_bytes: Size of the log of this run that is kept, in bytes.
        log_kept: Seq of the first log line that is not deleted, over all runs.
        runs: The ended runs before this one, oldest first; None when it is the first.
        hooks: Webhooks to call at the end of the run; None when there are none.
        kept: Whether it is kept beyond its retention.
    """

    __slots__ = (
        "attempt",
        "back",
        "finished",
        "floor",
        "forced",
        "holders",
        "hooks",
        "id",
        "kept",
        "lane",
        "log_attempt",
        "log_bytes",
        "log_kept",
        "log_next",
        "log_start",
        "losses",
        "max_attempts",
        "number",
        "phase",
        "phase_limits",
        "previous",
        "priority",
        "queue_limit",
        "queued",
        "ran",
        "returned",
        "rev",
        "run_limit",
        "runs",
        "shape",
        "started",
        "state",
        "summary",
        "verdict",
        "worker",
        "worker_name",
    )

    def __init__(
        self,
        id: str,
        number: int,
        summary: Summary,
        shape: Shape = PLAIN,
        rev: int = 0,
        state: State = State.QUEUED,
        phase: Phase | None = None,
        attempt: int = 0,
        floor: int = 0,
        losses: int = 0,
        max_attempts: int = 3,
        worker: str = "",
        worker_name: str = "",
        holders: tuple[str, ...] = (),
        lane: str = "_",
        priority: int = 0,
        queued: int = 0,
        returned: int = 0,
        started: int = 0,
        ran: int = 0,
        finished: int = 0,
        run_limit: int = 0,
        queue_limit: int = 0,
        phase_limits: dict[Phase, int] | None = None,
        log_start: int = 0,
        log_next: int = 0,
        forced: bool = False,
        verdict: Verdict | None = None,
        previous: Verdict | None = None,
        hooks: list[Hook] | None = None,
        log_attempt: int = 0,
        back: str = "",
        log_bytes: int = 0,
        log_kept: int = 0,
        runs: list[Run] | None = None,
        kept: bool = False,
    ) -> None:
        self.id = id
        self.number = number
        self.summary = summary
        self.shape = shape
        self.rev = rev
        self.state = state
        self.phase = phase
        self.attempt = attempt
        self.floor = floor
        self.losses = losses
        self.max_attempts = max_attempts
        self.worker = worker
        self.worker_name = worker_name
        self.holders = holders
        self.lane = lane
        self.priority = priority
        self.queued = queued
        self.returned = returned
        self.started = started
        self.ran = ran
        self.finished = finished
        self.run_limit = run_limit
        self.queue_limit = queue_limit
        self.phase_limits = phase_limits
        self.log_start = log_start
        self.log_next = log_next
        self.forced = forced
        self.verdict = verdict
        self.previous = previous
        self.hooks = hooks
        self.log_attempt = log_attempt
        self.back = back
        self.log_bytes = log_bytes
        self.log_kept = log_kept
        self.runs = runs
        self.kept = kept

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.record() == other.record()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.record())

    @staticmethod
    def of(record: JobRecord) -> Job:
        """Returns the job of a record. Earlier hubs stored a shape without its source, which the summary tells."""
        shape, summary = record.shape, record.summary
        if not summary.image:
            source = source_of("", builds=bool(summary.build))
            if shape.source != source:
                shape = BARE_SHAPE if shape is PLAIN and source == MACHINE else replace(shape, source=source)
        return Job(
            record.id,
            record.number,
            summary,
            shape,
            record.rev,
            record.state,
            record.phase,
            record.attempt,
            record.floor,
            record.losses,
            record.max_attempts,
            record.worker,
            record.worker_name,
            record.holders,
            record.lane,
            record.priority,
            record.queued,
            record.returned,
            record.started,
            record.ran,
            record.finished,
            record.run_limit,
            record.queue_limit,
            record.phase_limits,
            record.log_start,
            record.log_next,
            record.forced,
            record.verdict,
            record.previous,
            record.hooks,
            record.log_attempt,
            record.back,
            record.log_bytes,
            record.log_kept,
            record.runs,
            record.kept,
        )

    def record(self) -> JobRecord:
        """Returns the job as it is stored now."""
        return JobRecord(
            self.id,
            self.number,
            self.summary,
            self.shape,
            self.rev,
            self.state,
            self.phase,
            self.attempt,
            self.floor,
            self.losses,
            self.max_attempts,
            self.worker,
            self.worker_name,
            self.holders,
            self.lane,
            self.priority,
            self.queued,
            self.returned,
            self.started,
            self.ran,
            self.finished,
            self.run_limit,
            self.queue_limit,
            self.phase_limits,
            self.log_start,
            self.log_next,
            self.forced,
            self.verdict,
            self.previous,
            self.hooks,
            self.log_attempt,
            self.back,
            self.log_bytes,
            self.log_kept,
            self.runs,
            self.kept,
        )

    def pack(self) -> bytes:
        """Returns the encoded record.

        Raises:
            OverflowError: A number in it has no encoding.
            UnicodeError: A text in it has none.
        """
        return _encode(self.record())

    @staticmethod
    def unpack(record: bytes) -> Job:
        """Returns the job of an encoded record.

        Raises:
            msgspec.MsgspecError: It is none.
        """
        return Job.of(_decode(record))

    @property
    def wait_until(self) -> int:
        """Time at which a waiting job is given up, in epoch milliseconds; 0 for never.

        A job that comes back after a lost worker has its full waiting time again.
        """
        return (self.returned or self.queued) + self.queue_limit if self.queue_limit else 0
