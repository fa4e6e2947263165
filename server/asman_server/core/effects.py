"""What a queue wants done. The shell carries effects out in their order."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from asman_shared.messages import Held, Kept, Outcome
from asman_shared.states import Reason

from .callbacks import Call
from .job import Job
from .worker import Worker


class Effect(Struct, gc=False):
    """Base of all effects."""


class Assign(Effect):
    """Give the worker this attempt; may run ahead of the commit."""

    worker: Worker
    job: Job
    attempt: int


class Abort(Effect):
    """Tell the worker to stop an attempt and forget it."""

    worker: Worker
    job: str
    attempt: int
    why: str


class Changed(Effect):
    """Make the job's newest state durable, then tell those who follow it.

    ``first`` marks the begin of a run and ``ended`` its end.
    """

    job: Job
    first: bool = False
    ended: bool = False


class StoreResult(Effect):
    """Make the result of an accepted attempt durable with the job."""

    job: Job
    outcome: Outcome


class ClearRun(Effect):
    """Forget the log that an earlier run of the job left."""

    job: str


class Forget(Effect):
    """Remove the job, its result and its log for good, then tell those who follow it."""

    job: Job


class Acknowledge(Effect):
    """After the commit, tell the worker that it may forget a finished attempt."""

    worker: Worker
    job: str
    attempt: int
    accepted: bool


class WorkerChanged(Effect):
    """Tell those who follow the queue about a worker."""

    worker: Worker


class Resumed(Effect):
    """Answer a worker's registration."""

    worker: Worker
    keep: list[Kept]
    abort: list[Held]


class SubmitAnswer(Effect):
    """After the commit, answer a `Submitted`."""

    reply_to: Any
    answer: Literal["queued", "joined", "cached"]
    job: Job
    able: int
    why: str


class CancelAnswer(Effect):
    """After the commit, answer a `CancelRequested`."""

    reply_to: Any
    released: bool
    job: Job


class DeleteAnswer(Effect):
    """After the commit, answer a `DeleteRequested`."""

    reply_to: Any
    job: str


class SaveSettings(Effect):
    """Make the queue's retention durable, and with it when each finished job is due; then answer a `Configured`.

    ``own`` is 0 when the queue follows the hub.
    """

    reply_to: Any
    own: int
    retention: int


class CallWebhook(Effect):
    """Write, with the job, that a webhook is to be called; the call itself is made after the commit.

    ``reason`` says for ``finished`` how the run ended for this namespace.
    """

    event: Literal["queued", "finished"]
    job: Job
    namespace: str
    call: Call
    reason: Reason | None = None


class Refused(Effect):
    """Answer a request with an error: a code of `asman_shared.errors` and its sentence."""

    reply_to: Any
    code: str
    message: str
