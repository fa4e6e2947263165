"""Events: everything that can happen to a queue.

They are plain classes for the same reason as the `effects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mypy_extensions import mypyc_attr

from asman_shared.definition import Shape
from asman_shared.messages import Outcome, Register, Summary
from asman_shared.states import Phase, Reason, Reuse, State

from .callbacks import Calls
from .job import Job


@mypyc_attr(acyclic=True)
class Event:
    """Base of all events. ``reply_to`` is opaque to the core and is returned in the answer."""

    __slots__ = ()


@mypyc_attr(acyclic=True)
class Submitted(Event):
    """A client submits a job; fields as in `asman_shared.messages.Submit`."""

    __slots__ = (
        "calls",
        "job",
        "max_attempts",
        "namespace",
        "phase_limits",
        "priority",
        "queue_limit",
        "reply_to",
        "reuse",
        "run_limit",
        "shape",
        "summary",
    )

    def __init__(
        self,
        job: str,
        shape: Shape,
        summary: Summary,
        reply_to: Any = None,
        namespace: str = "_",
        priority: int = 0,
        reuse: Reuse = "success",
        run_limit: int = 0,
        queue_limit: int = 0,
        phase_limits: dict[Phase, int] | None = None,
        max_attempts: int = 3,
        calls: Calls | None = None,
    ) -> None:
        self.job = job
        self.shape = shape
        self.summary = summary
        self.reply_to = reply_to
        self.namespace = namespace
        self.priority = priority
        self.reuse: Reuse = reuse
        self.run_limit = run_limit
        self.queue_limit = queue_limit
        self.phase_limits = phase_limits
        self.max_attempts = max_attempts
        self.calls = calls


@mypyc_attr(acyclic=True)
class CancelRequested(Event):
    """A namespace releases a job; ``*`` stands for all namespaces."""

    __slots__ = ("job", "namespace", "reply_to")

    def __init__(self, job: str, namespace: str = "_", reply_to: Any = None) -> None:
        self.job = job
        self.namespace = namespace
        self.reply_to = reply_to


@mypyc_attr(acyclic=True)
class DeleteRequested(Event):
    """A client deletes a job and its result."""

    __slots__ = ("job", "reply_to")

    def __init__(self, job: str, reply_to: Any = None) -> None:
        self.job = job
        self.reply_to = reply_to


@mypyc_attr(acyclic=True)
class Recalled(Event):
    """The shell has read a finished job from the store that had left memory."""

    __slots__ = ("job",)

    def __init__(self, job: Job) -> None:
        self.job = job


@mypyc_attr(acyclic=True)
class Settled(Event):
    """A finished job's state is durable: the job may leave memory from now on.

    Attributes:
        job: Its id.
        run: ``queued`` in that state. A job that was deleted and submitted again counts its states from the beginning.
        rev: ``rev`` in that state.
    """

    __slots__ = ("job", "rev", "run")

    def __init__(self, job: str, run: int, rev: int) -> None:
        self.job = job
        self.run = run
        self.rev = rev


@mypyc_attr(acyclic=True)
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

    __slots__ = ("ended", "job", "rev", "run", "whole", "why")

    def __init__(self, job: str, run: int, rev: int, ended: bool, why: str, whole: bool = False) -> None:
        self.job = job
        self.run = run
        self.rev = rev
        self.ended = ended
        self.why = why
        self.whole = whole


@mypyc_attr(acyclic=True)
class WorkerJoined(Event):
    """A worker registers, on a new connection or again on the same one.

    ``chooses`` says that it picks its jobs from the queue itself (`Claimed`) and is never assigned any.
    """

    __slots__ = ("chooses", "info", "session")

    def __init__(self, session: int, info: Register, chooses: bool = False) -> None:
        self.session = session
        self.info = info
        self.chooses = chooses


@mypyc_attr(acyclic=True)
class WorkerLost(Event):
    """A worker's connection ended."""

    __slots__ = ("incarnation", "session")

    def __init__(self, incarnation: str, session: int) -> None:
        self.incarnation = incarnation
        self.session = session


@mypyc_attr(acyclic=True)
class Claimed(Event):
    """A worker that chooses its jobs itself claims one."""

    __slots__ = ("incarnation", "job", "reply_to")

    def __init__(self, incarnation: str, job: str, reply_to: Any = None) -> None:
        self.incarnation = incarnation
        self.job = job
        self.reply_to = reply_to


@mypyc_attr(acyclic=True)
class DrainRequested(Event):
    """A worker begins to drain: it takes no more jobs."""

    __slots__ = ("incarnation",)

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation


@mypyc_attr(acyclic=True)
class PhaseReported(Event):
    """A worker reports the phase of an attempt."""

    __slots__ = ("attempt", "incarnation", "job", "phase")

    def __init__(self, incarnation: str, job: str, attempt: int, phase: Phase) -> None:
        self.incarnation = incarnation
        self.job = job
        self.attempt = attempt
        self.phase = phase


@mypyc_attr(acyclic=True)
class AttemptFinished(Event):
    """A worker reports the outcome of an attempt."""

    __slots__ = ("attempt", "incarnation", "job", "outcome")

    def __init__(self, incarnation: str, job: str, attempt: int, outcome: Outcome) -> None:
        self.incarnation = incarnation
        self.job = job
        self.attempt = attempt
        self.outcome = outcome


@mypyc_attr(acyclic=True)
class AttemptReleased(Event):
    """A worker has let go of an attempt, after an abort or on its own.

    ``lost`` says that the attempt had begun and came to nothing, which costs the job one of its attempts.
    """

    __slots__ = ("attempt", "incarnation", "job", "lost")

    def __init__(self, incarnation: str, job: str, attempt: int, lost: bool = False) -> None:
        self.incarnation = incarnation
        self.job = job
        self.attempt = attempt
        self.lost = lost


@mypyc_attr(acyclic=True)
class Tick(Event):
    """Time has passed."""

    __slots__ = ()


@mypyc_attr(acyclic=True)
class Due(Event):
    """Some jobs are due: their waiting time or retention may have passed. The core checks that; see `QueueCore.due`.

    Attributes:
        jobs: Their ids.
        stored: Those of them that are only in the store, as read from it.
    """

    __slots__ = ("jobs", "stored")

    def __init__(self, jobs: list[str], stored: Sequence[Job] = ()) -> None:
        self.jobs = jobs
        self.stored = list(stored)


@mypyc_attr(acyclic=True)
class Configured(Event):
    """A client sets the retention of finished jobs, in milliseconds (0 follows the hub), or pauses the queue.

    What is None stays as it is.
    """

    __slots__ = ("paused", "reply_to", "retention")

    def __init__(self, retention: int | None, reply_to: Any = None, paused: bool | None = None) -> None:
        self.retention = retention
        self.reply_to = reply_to
        self.paused = paused


@mypyc_attr(acyclic=True)
class KeepRequested(Event):
    """A client keeps a job beyond its retention, or no longer."""

    __slots__ = ("job", "keep", "reply_to")

    def __init__(self, job: str, keep: bool = True, reply_to: Any = None) -> None:
        self.job = job
        self.keep = keep
        self.reply_to = reply_to


@mypyc_attr(acyclic=True)
class DismissRequested(Event):
    """A client drains workers by their id or name: they get no more jobs, and leave when they have none.

    ``undo`` lets those that are still here take jobs again.
    """

    __slots__ = ("reply_to", "undo", "worker")

    def __init__(self, worker: str, undo: bool = False, reply_to: Any = None) -> None:
        self.worker = worker
        self.undo = undo
        self.reply_to = reply_to


@mypyc_attr(acyclic=True)
class QueueDeleted(Event):
    """The queue is deleted with everything in it. It is the last event of its core."""

    __slots__ = ()


@mypyc_attr(acyclic=True)
class PurgeRequested(Event):
    """A client removes those of some jobs that are as it says. Jobs that run, or that are kept, stay.

    By reasons without success, jobs stay that have an earlier success, too: it is their result.

    Attributes:
        jobs: Their ids.
        stored: Those of them that are only in the store, as read from it.
        states: ``Queued``, ``Finished`` or both.
        reasons: The reasons for which a finished one must have ended; empty for any.
        before: The latest time at which they were queued or finished, in epoch milliseconds.
    """

    __slots__ = ("before", "jobs", "reasons", "reply_to", "states", "stored")

    def __init__(
        self,
        jobs: list[str],
        stored: Sequence[Job],
        states: Sequence[State],
        reasons: Sequence[Reason],
        before: int,
        reply_to: Any = None,
    ) -> None:
        self.jobs = jobs
        self.stored = list(stored)
        self.states = list(states)
        self.reasons = list(reasons)
        self.before = before
        self.reply_to = reply_to
