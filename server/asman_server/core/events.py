"""What can happen to a queue."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from asman_shared.definition import Shape
from asman_shared.messages import Outcome, Register, Summary
from asman_shared.states import Phase

from .callbacks import Calls
from .job import Job


class Event(Struct, gc=False):
    """Base of all events. ``reply_to`` is opaque to the core and comes back in the `Answer`."""


class Submitted(Event):
    """Somebody wants a job's result; fields as in `asman_shared.messages.Submit`."""

    job: str
    shape: Shape
    summary: Summary
    reply_to: Any = None
    namespace: str = "_"
    priority: int = 0
    reuse: Literal["cached", "never"] = "cached"
    run_limit: int = 0
    queue_limit: int = 0
    phase_limits: dict[Phase, int] | None = None
    max_attempts: int = 3
    calls: Calls | None = None


class CancelRequested(Event):
    """One namespace (``*``: every one) no longer wants a job."""

    job: str
    namespace: str = "_"
    reply_to: Any = None


class DeleteRequested(Event):
    """A job and its result are to be forgotten."""

    job: str
    reply_to: Any = None


class Recalled(Event):
    """A finished job that had left memory was read back from the store."""

    job: Job


class Settled(Event):
    """A finished job's state ``rev`` is durable: the job may leave memory from now on."""

    job: str
    rev: int


class WorkerJoined(Event):
    """A worker registered, on a new connection or anew on the same one.

    ``chooses`` says that it looks at the queue and picks its jobs itself (`Claimed`); it is never handed any.
    """

    session: int
    info: Register
    chooses: bool = False


class WorkerLost(Event):
    """A worker's connection ended."""

    incarnation: str
    session: int


class Claimed(Event):
    """A worker that chooses its jobs itself wants this one."""

    incarnation: str
    job: str
    reply_to: Any = None


class DrainRequested(Event):
    """A worker takes no more jobs."""

    incarnation: str


class PhaseReported(Event):
    """A worker says how far an attempt is."""

    incarnation: str
    job: str
    attempt: int
    phase: Phase


class AttemptFinished(Event):
    """A worker says how an attempt ended."""

    incarnation: str
    job: str
    attempt: int
    outcome: Outcome


class AttemptReleased(Event):
    """A worker has nothing left of an attempt: after an abort, or handed back unasked.

    ``lost`` says that the attempt had begun and came to nothing, which costs the job one of its attempts.
    """

    incarnation: str
    job: str
    attempt: int
    lost: bool = False


class Tick(Event):
    """Time has passed."""


class Due(Event):
    """The time of some jobs has come: what may wait no longer is given up, what was kept for long enough is forgotten.

    Whether it really has, the core says; see `core.endings.Endings.due`.

    Attributes:
        jobs: Their ids.
        stored: Those of them that are in the store alone, as they were read there.
    """

    jobs: list[str]
    stored: list[Job] = []


class Configured(Event):
    """The queue is to keep finished jobs for ``retention`` milliseconds; 0: for as long as the hub does."""

    retention: int
    reply_to: Any = None
