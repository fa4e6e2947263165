"""Effects: the actions that a queue asks its shell to carry out, in order.

They are plain classes, as compiled code reads an attribute of those many times faster than one of a ``msgspec.Struct``.
"""

from __future__ import annotations

from typing import Any, Literal

from mypy_extensions import mypyc_attr

from asman_shared.messages import Held, Kept, Outcome, Verdict
from asman_shared.states import Reason

from .callbacks import Call
from .job import Job
from .worker import Worker


@mypyc_attr(acyclic=True)
class Effect:
    """Base of all effects."""

    __slots__ = ()


@mypyc_attr(acyclic=True)
class Assign(Effect):
    """Send the worker this attempt; may happen before the commit."""

    __slots__ = ("attempt", "job", "worker")

    def __init__(self, worker: Worker, job: Job, attempt: int) -> None:
        self.worker = worker
        self.job = job
        self.attempt = attempt


@mypyc_attr(acyclic=True)
class Abort(Effect):
    """Tell the worker to stop an attempt and forget it."""

    __slots__ = ("attempt", "job", "why", "worker")

    def __init__(self, worker: Worker, job: str, attempt: int, why: str) -> None:
        self.worker = worker
        self.job = job
        self.attempt = attempt
        self.why = why


@mypyc_attr(acyclic=True)
class Changed(Effect):
    """Make the job's newest state durable, then tell its followers.

    ``first`` marks the beginning of a run and ``ended`` its end.
    """

    __slots__ = ("ended", "first", "job")

    def __init__(self, job: Job, first: bool, ended: bool) -> None:
        self.job = job
        self.first = first
        self.ended = ended


@mypyc_attr(acyclic=True)
class StoreResult(Effect):
    """Make the result of an accepted attempt durable with the job."""

    __slots__ = ("job", "outcome")

    def __init__(self, job: Job, outcome: Outcome) -> None:
        self.job = job
        self.outcome = outcome


@mypyc_attr(acyclic=True)
class BeginRun(Effect):
    """Begin the log of the job's next run, and delete the lines before ``kept``, which are of runs long ago."""

    __slots__ = ("job", "kept")

    def __init__(self, job: str, kept: int) -> None:
        self.job = job
        self.kept = kept


@mypyc_attr(acyclic=True)
class Forget(Effect):
    """Remove the job, its result and its log for good, then tell its followers."""

    __slots__ = ("job",)

    def __init__(self, job: Job) -> None:
        self.job = job


@mypyc_attr(acyclic=True)
class Acknowledge(Effect):
    """After the commit, tell the worker that it may delete a finished attempt."""

    __slots__ = ("accepted", "attempt", "job", "worker")

    def __init__(self, worker: Worker, job: str, attempt: int, accepted: bool) -> None:
        self.worker = worker
        self.job = job
        self.attempt = attempt
        self.accepted = accepted


@mypyc_attr(acyclic=True)
class WorkerChanged(Effect):
    """Tell the followers of the queue about a worker."""

    __slots__ = ("worker",)

    def __init__(self, worker: Worker) -> None:
        self.worker = worker


@mypyc_attr(acyclic=True)
class Resumed(Effect):
    """Answer a worker's registration."""

    __slots__ = ("abort", "keep", "worker")

    def __init__(self, worker: Worker, keep: list[Kept], abort: list[Held]) -> None:
        self.worker = worker
        self.keep = keep
        self.abort = abort


@mypyc_attr(acyclic=True)
class SubmitAnswer(Effect):
    """After the commit, answer a `Submitted`.

    ``earlier`` is the end of the job's last run, when a new one begins.
    """

    __slots__ = ("able", "answer", "earlier", "job", "reply_to", "why")

    def __init__(
        self,
        reply_to: Any,
        answer: Literal["queued", "joined", "cached"],
        job: Job,
        able: int,
        why: str,
        earlier: Verdict | None = None,
    ) -> None:
        self.reply_to = reply_to
        self.answer = answer
        self.job = job
        self.able = able
        self.why = why
        self.earlier = earlier


@mypyc_attr(acyclic=True)
class CancelAnswer(Effect):
    """After the commit, answer a `CancelRequested`."""

    __slots__ = ("job", "released", "reply_to")

    def __init__(self, reply_to: Any, released: bool, job: Job) -> None:
        self.reply_to = reply_to
        self.released = released
        self.job = job


@mypyc_attr(acyclic=True)
class DeleteAnswer(Effect):
    """After the commit, answer a `DeleteRequested`."""

    __slots__ = ("job", "reply_to")

    def __init__(self, reply_to: Any, job: str) -> None:
        self.reply_to = reply_to
        self.job = job


@mypyc_attr(acyclic=True)
class SaveSettings(Effect):
    """Make the queue's settings and the due time of each finished job durable, then answer a `Configured`.

    ``own`` is 0 when the queue follows the hub, and ``paused`` the time since which it is paused, or 0.
    """

    __slots__ = ("own", "paused", "reply_to", "retention")

    def __init__(self, reply_to: Any, own: int, retention: int, paused: int) -> None:
        self.reply_to = reply_to
        self.own = own
        self.retention = retention
        self.paused = paused


@mypyc_attr(acyclic=True)
class KeepAnswer(Effect):
    """After the commit, answer a `KeepRequested`."""

    __slots__ = ("job", "reply_to")

    def __init__(self, reply_to: Any, job: Job) -> None:
        self.reply_to = reply_to
        self.job = job


@mypyc_attr(acyclic=True)
class DismissAnswer(Effect):
    """Answer a `DismissRequested` with the workers that it was about."""

    __slots__ = ("reply_to", "workers")

    def __init__(self, reply_to: Any, workers: list[Worker]) -> None:
        self.reply_to = reply_to
        self.workers = workers


@mypyc_attr(acyclic=True)
class Dismiss(Effect):
    """After the commit, end the connection of a drained worker that has nothing left."""

    __slots__ = ("worker",)

    def __init__(self, worker: Worker) -> None:
        self.worker = worker


@mypyc_attr(acyclic=True)
class PurgeAnswer(Effect):
    """After the commit, answer a `PurgeRequested` with the number of removed jobs."""

    __slots__ = ("count", "reply_to")

    def __init__(self, reply_to: Any, count: int) -> None:
        self.reply_to = reply_to
        self.count = count


@mypyc_attr(acyclic=True)
class CallWebhook(Effect):
    """Write a webhook call together with the job; the call itself is made after the commit.

    For ``finished``, ``reason`` says how the run ended for this namespace.
    """

    __slots__ = ("call", "event", "job", "namespace", "reason")

    def __init__(
        self,
        event: Literal["queued", "finished"],
        job: Job,
        namespace: str,
        call: Call,
        reason: Reason | None = None,
    ) -> None:
        self.event: Literal["queued", "finished"] = event
        self.job = job
        self.namespace = namespace
        self.call = call
        self.reason = reason


@mypyc_attr(acyclic=True)
class Refused(Effect):
    """Answer a request with an error: a code of `asman_shared.errors` and a sentence."""

    __slots__ = ("code", "message", "reply_to")

    def __init__(self, reply_to: Any, code: str, message: str) -> None:
        self.reply_to = reply_to
        self.code = code
        self.message = message
