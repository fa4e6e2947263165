"""Orders of a queue's owner, and their answers; see `asman_shared.messages`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from .. import limits
from ..ranges import JobId, Label, Millis, Ref
from ..records import JobState, Message
from ..states import Reason, State


class Configure(Message, tag="configure"):
    """Sets how long the queue keeps finished jobs, in milliseconds (0 for the hub's setting), or pauses and resumes it.

    Answered by `Configured`. What is left out stays as it is; nothing at all only asks. A new retention also applies to
    jobs that are already finished. A paused queue takes submissions and gives no jobs to workers; what runs goes on.
    """

    ref: Ref
    retention: Millis | None = None
    paused: bool | None = None


class Keep(Message, tag="keep"):
    """Keeps a job with its result and log beyond the queue's retention, or no longer; answered by `Keeping`."""

    ref: Ref
    job: JobId
    keep: bool = True


class Dismiss(Message, tag="dismiss"):
    """Drains the workers with an id or a name: they get no more jobs, and leave when they have none.

    ``undo`` lets those that are still here take jobs again. Answered by `WorkerPage` with these workers. A hub that is
    started again does not know of it any more.
    """

    ref: Ref
    worker: Label
    undo: bool = False


class Purge(Message, tag="purge"):
    """Removes jobs with their results and logs; answered by `Purged`. Jobs that run, or that are kept, stay.

    Attributes:
        states: ``Queued``, ``Finished`` or both.
        reasons: Only finished jobs that ended for one of these reasons; empty for any.
        older_than: Only jobs that were queued or finished that long ago, in milliseconds.
    """

    ref: Ref
    states: Annotated[list[State], Meta(min_length=1, max_length=limits.STATES_PER_LIST)] = field(
        default_factory=lambda: [State.FINISHED]
    )
    reasons: Annotated[list[Reason], Meta(max_length=limits.STATES_PER_LIST)] = field(default_factory=list)
    older_than: Millis = 0


class DeleteQueue(Message, tag="delete_queue"):
    """Deletes the queue with everything in it; answered by `DeletedQueue`, and then the connection is closed with 4012.

    All other connections to the queue are closed in the same way, and what runs is stopped.
    """

    ref: Ref


class Configured(Message, tag="configured"):
    """The answer to `Configure`: the retention of finished jobs in milliseconds; ``own`` if the queue set it.

    ``paused`` is the time since which the queue is paused, in epoch milliseconds; 0 when it is not.
    """

    ref: Ref
    retention: int
    own: bool = False
    paused: int = 0


class Keeping(Message, tag="keeping"):
    """The answer to `Keep`: the job as it is now."""

    ref: Ref
    job: JobState


class Purged(Message, tag="purged"):
    """The answer to `Purge`: the number of removed jobs. With ``more``, there are others: ask again."""

    ref: Ref
    count: int
    more: bool = False


class DeletedQueue(Message, tag="deleted_queue"):
    """The answer to `DeleteQueue`: the number of jobs that are gone, and of workers that were connected."""

    ref: Ref
    jobs: int
    workers: int
