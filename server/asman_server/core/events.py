"""Events: everything that can happen to a queue."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from asman_shared.definition import Shape
from asman_shared.messages import Outcome, Register, Summary
from asman_shared.states import Phase

from .callbacks import Calls
from .job import Job


class Event(Struct, gc=False):
    """Base of all events. ``reply_to`` is opaque to the core and is returned in the answer."""


class Submitted(Event):
    """A client submits a job; fields as in `asman_shared.messages.Submit`."""

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
    """A namespace releases a job; ``*`` stands for all namespaces."""

    job: str
    namespace: str = "_"
    reply_to: Any = None


class DeleteRequested(Event):
    """A client deletes a job and its result."""

    job: str
    reply_to: Any = None


class Recalled(Event):
    """The shell has read a finished job from the store that had left memory."""

    job: Job


class Settled(Event):
    """A finished job's state is durable: the job may leave memory from now on.

    Attributes:
        job: Its id.
        run: ``queued`` in that state. A job that was deleted and submitted again counts its states from the beginning.
        rev: ``rev`` in that state.
    """

    job: str
    run: int
    rev: int


class NotStored(Event):
    """The store refuses a state of a job for good, which nobody was told of.

    Attributes:
        job: Its id.
        run: ``queued`` in that state.
        rev: ``rev`` in that state.
        ended: Whether that state was the first after the end of a run.
        why: The reason, in a sentence for people.
        whole: Whether the store refuses everything about the job.
    """

    job: str
    run: int
    rev: int
    ended: bool
    why: str
    whole: bool = False


class WorkerJoined(Event):
    """A worker registers, on a new connection or again on the same one.

    ``chooses`` says that it picks its jobs from the queue itself (`Claimed`) and is never assigned any.
    """

    session: int
    info: Register
    chooses: bool = False


class WorkerLost(Event):
    """A worker's connection ended."""

    incarnation: str
    session: int


class Claimed(Event):
    """A worker that chooses its jobs itself claims one."""

    incarnation: str
    job: str
    reply_to: Any = None


class DrainRequested(Event):
    """A worker begins to drain: it takes no more jobs."""

    incarnation: str


class PhaseReported(Event):
    """A worker reports the phase of an attempt."""

    incarnation: str
    job: str
    attempt: int
    phase: Phase


class AttemptFinished(Event):
    """A worker reports the outcome of an attempt."""

    incarnation: str
    job: str
    attempt: int
    outcome: Outcome


class AttemptReleased(Event):
    """A worker has let go of an attempt, after an abort or on its own.

    ``lost`` says that the attempt had begun and came to nothing, which costs the job one of its attempts.
    """

    incarnation: str
    job: str
    attempt: int
    lost: bool = False


class Tick(Event):
    """Time has passed."""


class Due(Event):
    """Some jobs are due: their waiting time or retention may have passed. The core checks that; see `QueueCore.due`.

    Attributes:
        jobs: Their ids.
        stored: Those of them that are only in the store, as read from it.
    """

    jobs: list[str]
    stored: list[Job] = []


class Configured(Event):
    """A client sets the retention of finished jobs, in milliseconds; 0 follows the hub."""

    retention: int
    reply_to: Any = None
