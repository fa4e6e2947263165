"""Ends a queue in memory that its owner deletes: refuses what comes, then tells everybody who is connected.

Nobody hears that the queue is deleted before that is durable: until then requests are told to try again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from msgspec.structs import replace

from asman_shared.errors import CLOSE_REASONS, AsmanError, CloseCode, Conflict, NotFound, Unavailable
from asman_shared.messages import Verdict
from asman_shared.states import Reason, State

from ..core import effects as fx
from ..core import events as ev
from ..core.job_state import state_of
from ..reply_to import ReplyTo
from . import worker_effects

if TYPE_CHECKING:
    from .shell import QueueShell

MOST_JOBS: Final = 100_000
"""Largest number of jobs of a queue that is deleted: they go in one commit, and other commits wait for it."""
DELETED: Final = CLOSE_REASONS[CloseCode.DELETED]
DELETING: Final = "this queue is being deleted; try again"


class Socket(Protocol):
    """A connection to a queue."""

    def close_soon(self, code: CloseCode) -> None:
        """Closes the connection."""


class Deletion(NamedTuple):
    """The number of jobs of a deleted queue, and of workers that were connected to it."""

    jobs: int
    workers: int


def begin(shell: QueueShell) -> Deletion:
    """Lets a queue take nothing any more.

    Raises:
        Conflict: It has too many jobs for one commit.
    """
    counts = shell.counts()
    jobs = counts.queued + counts.running + counts.finished
    if jobs > MOST_JOBS:
        raise Conflict(
            f"the queue has {jobs:,} jobs, and one with more than {MOST_JOBS:,} is not deleted at once: remove its "
            "jobs first (asman queue purge)"
        )
    shell.deleted = True
    shell.stop_timers()
    shell.logs.end()
    return Deletion(jobs, counts.workers)


def refusal(shell: QueueShell) -> AsmanError:
    """Returns the error of a request to a queue that takes nothing any more."""
    return NotFound(DELETED) if shell.ended else Unavailable(DELETING)


def refuse(shell: QueueShell, event: ev.Event) -> None:
    """Answers a request to a queue that takes nothing any more."""
    reply_to = getattr(event, "reply_to", None)
    if isinstance(reply_to, ReplyTo):
        reply_to.refuse(refusal(shell))


def end(shell: QueueShell, requester: Socket | None) -> None:
    """Stops the attempts of a queue whose deletion is durable, ends all that waits for its jobs, and closes sockets.

    Args:
        shell: The queue.
        requester: A socket that is left open, because it still gets an answer.
    """
    shell.ended = True
    for effect in shell.core.handle(ev.QueueDeleted(), shell.clock()):
        if isinstance(effect, fx.Abort):
            worker_effects.abort(shell, effect)
    for job in shell.core.jobs.values():
        if shell.limiter.waiting and job.state is State.QUEUED:
            shell.limiter.waits_no_more(shell.name, job.id)
    for job_id in list(shell.fanout.followers):
        if (known := shell.core.jobs.get(job_id)) is not None and not known.state.over:
            verdict = Verdict(ok=False, reason=Reason.DELETED)
            removed = replace(state_of(known), state=State.REMOVED, rev=known.rev + 1, verdict=verdict)
            shell.fanout.job(removed, first=False)
    shell.core.unload()
    shell.core.jobs.clear()  # requests that came before find none any more
    close_sockets(shell, CloseCode.DELETED, requester)


def close_sockets(shell: QueueShell, code: CloseCode, requester: Socket | None = None) -> None:
    """Closes the connections to a queue, but the one that still gets an answer."""
    for socket in list(shell.sockets):
        if socket is not requester:
            socket.close_soon(code)
