"""Messages between workers and the hub; see `asman_shared.messages`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from . import limits, ranges
from .definition import Definition, Source
from .ranges import Count, JobId, Label, Millis
from .records import Limits, LogLine, Message, Outcome
from .states import Phase


class Held(Struct, omit_defaults=True):
    """An attempt that a worker has: running, or finished and not acknowledged (``done``)."""

    job: JobId
    attempt: Count
    phase: Phase = Phase.ASSIGNED
    done: bool = False


class Register(Message, tag="register"):
    """A worker's first message, on every connection.

    Attributes:
        incarnation: A random id, made once per worker process, or once per data folder if the worker can find its
            containers again after a restart; never a host name.
        cpus: Number of cpus for jobs; likewise ``memory`` in bytes, and ``gpus``.
        tags: The names that jobs can require: the operator's, and those that the worker gives itself.
        max_duration: The longest job that it takes, in milliseconds; 0 for any.
        sources: The jobs that it runs: those that name an image (``image``), those whose image is built (``build``),
            and those with neither (``machine``). Empty for all, as from a worker that does not say it.
        remark: A sentence about its machine for people, such as that several workers offer the same memory.
        holding: All attempts that it has. The hub answers which ones to keep and which to abort.
    """

    incarnation: ranges.Incarnation
    name: Label
    cpus: ranges.WorkerCpus
    protocol: ranges.Protocol = limits.PROTOCOL_VERSION
    agent: ranges.Agent = ""
    memory: Count = 0
    gpus: ranges.WorkerGpus = 0
    disk: Count = 0
    tags: Annotated[list[Label], Meta(max_length=2 * limits.TAGS)] = []
    platform: ranges.Word = ""
    max_duration: Millis = 0
    executor: ranges.Word = "docker"
    draining: bool = False
    sources: Annotated[list[Source], Meta(max_length=3)] = []
    remark: ranges.Agent = ""
    holding: Annotated[list[Held], Meta(max_length=limits.HELD)] = []


class PhaseReport(Message, tag="phase"):
    """An attempt reached a phase, or made progress in it (``done`` of ``total`` in ``unit``)."""

    job: JobId
    attempt: Count
    phase: Phase
    done: Count = 0
    total: Count = 0
    unit: ranges.Unit = ""


class LogBatch(Message, tag="log_batch"):
    """New lines of an attempt, in order; seqs continue from `Assign.log_next` or `Kept.log_next`."""

    job: JobId
    attempt: Count
    lines: Annotated[list[LogLine], Meta(max_length=limits.LOG_BATCH_LINES)]


class Finished(Message, tag="finished"):
    """An attempt ended. Repeated after every reconnect until `Acknowledged`."""

    job: JobId
    attempt: Count
    outcome: Outcome


class Released(Message, tag="released"):
    """Reports that nothing of an attempt is left and its capacity is free again; the answer to `Abort`."""

    job: JobId
    attempt: Count


class Drain(Message, tag="drain"):
    """The worker takes no more jobs and leaves when it is done."""


class Kept(Struct, omit_defaults=True):
    """An attempt that continues; log lines from ``log_next`` on are wanted."""

    job: str
    attempt: int
    log_next: int = 0


class Registered(Message, tag="registered"):
    """The hub's answer to `Register`: the attempts that continue, and those to stop and forget.

    Every attempt in `Register.holding` is in exactly one of ``keep`` and ``abort``. ``log_limit`` is the number of
    bytes that the hub keeps of a job's log: a worker need not send much more. ``links`` makes the addresses of the
    queue's jobs; see `asman_shared.address`. It is left out for a key that does not read.
    """

    protocol: int
    hub: str
    worker: str
    time: int
    heartbeat: int = limits.HEARTBEAT_MS
    log_limit: Count = limits.LOG_BYTES
    limits: Limits = field(default_factory=Limits)
    keep: list[Kept] = []
    abort: list[Held] = []
    links: str = ""


class Assign(Message, tag="assign"):
    """Tells the worker to run an attempt.

    ``time_limit`` is the limit of phase running, in milliseconds (0: the worker's own maximum). ``phase_limits`` has
    the limits of other phases; ``log_next`` is the seq of its first log line. ``address`` is the last part of the job's
    URL, told to a worker whose key does not open those of all jobs (`Registered.links`).
    """

    job: str
    attempt: int
    definition: Definition
    time_limit: int = 0
    log_next: int = 0
    phase_limits: dict[Phase, Millis] = {}
    address: str = ""


class Abort(Message, tag="abort"):
    """Tells the worker to stop an attempt and forget it; answered by `Released`. ``why`` is for the worker's log."""

    job: str
    attempt: int
    why: str = ""


class Acknowledged(Message, tag="acknowledged"):
    """Tells the worker to forget an attempt: its `Finished` is durable or, with ``accepted`` false, came too late."""

    job: str
    attempt: int
    accepted: bool = True
