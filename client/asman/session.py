"""The requests and followed jobs of a client, independent of its present connection.

There is no I/O here: received messages go in, messages to send come out. This makes a reconnect exact: the session
knows the unanswered requests and the followed jobs, and repeats them on the new connection.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from asman_shared import messages as m
from asman_shared.codec import Broken
from asman_shared.errors import AsmanError, NotFound, ProtocolError, TimedOut
from asman_shared.identity import job_id
from asman_shared.states import State

from .tracking import Tail, Tracker

log = logging.getLogger(__name__)

Request = (
    m.Submit
    | m.Cancel
    | m.Delete
    | m.Get
    | m.List
    | m.Workers
    | m.Follow
    | m.Unfollow
    | m.ReadLog
    | m.ListRuns
    | m.Summarise
    | m.Explain
    | m.Validate
    | m.Configure
    | m.Keep
    | m.Dismiss
    | m.Purge
    | m.DeleteQueue
    | m.PutBlobs
    | m.GetBlobs
)
Reply = (
    m.Accepted
    | m.Cancelled
    | m.Deleted
    | m.Job
    | m.JobPage
    | m.WorkerPage
    | m.Following
    | m.LogPage
    | m.RunList
    | m.JobSummary
    | m.Explanation
    | m.Validated
    | m.Configured
    | m.Keeping
    | m.Purged
    | m.DeletedQueue
    | m.BlobTickets
    | m.BlobLinks
)
Push = m.Changed | m.WorkerChanged | m.CountsChanged
_RUN_AGAIN: Final = ("success", "never")
"""The reuse of submits that, sent twice, may begin two runs: of a job that has failed, or of any."""


@dataclass(slots=True)
class _Asked:
    """An unanswered request.

    Attributes:
        done: Called once, with the reply or the error.
        sent: Time of sending on the present connection, in monotonic seconds; None while there is no connection.
        hub_time: The hub's clock (or a little earlier) at the first sending, in epoch milliseconds.
        inner: Whether the session itself made the request, for one connection only; it is not repeated.
    """

    message: Request
    done: Callable[[Reply | AsmanError], None]
    sent: float | None = None
    hub_time: float | None = None
    inner: bool = False


class Session:
    """The requests and followed jobs of a client, and the point to resume from.

    Args:
        clock: Returns monotonic seconds.
        on_push: Called with each pushed change, after the change is applied to followed jobs.
    """

    def __init__(self, clock: Callable[[], float], on_push: Callable[[Push], None] | None = None) -> None:
        self._clock = clock
        self._on_push = on_push
        self._refs = 0
        self._asked: dict[int, _Asked] = {}
        self._trackers: dict[str, weakref.WeakSet[Tracker]] = {}
        self._tails: dict[str, list[Tail]] = {}
        self._epoch: str | None = None
        self._seq = 0
        self._open = False
        self._hub_offset = 0.0
        self._later: list[m.Message] = []

    @property
    def resume(self) -> m.Resume | None:
        """The last change received, for the next `Hello`."""
        return None if self._epoch is None else m.Resume(self._epoch, self._seq)

    @property
    def unanswered(self) -> int:
        """Number of requests without an answer."""
        return len(self._asked)

    # --------------------------------------------------------------------------------------------------- asking

    def ask(self, message: Request, tracker: Tracker | None = None) -> asyncio.Future[Reply]:
        """Registers a request; the caller sends it if a connection is open, otherwise the next connection does.

        Args:
            message: The request; its ``ref`` is set here.
            tracker: Gets the job state in the answer, before any later push.

        Returns:
            A future of the answer, or of the error that the hub answered with.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(answer: Reply | AsmanError) -> None:
            if isinstance(answer, AsmanError):
                if not future.done():
                    future.set_exception(answer)
                return
            if tracker is not None:
                self._inform(tracker, message, answer)
            if not future.done():
                future.set_result(answer)

        ref = self._register(message, done)
        future.add_done_callback(lambda _: self._asked.pop(ref, None))
        return future

    def ask_once(self, message: Request) -> None:
        """Registers a request whose answer is ignored and that is not repeated on another connection."""
        self._register(message, lambda _: None, inner=True)

    def _register(self, message: Request, done: Callable[[Reply | AsmanError], None], *, inner: bool = False) -> int:
        self._refs += 1
        message.ref = self._refs
        asked = _Asked(message, done, inner=inner)
        if self._open:
            self._mark_sent(asked)
        self._asked[self._refs] = asked
        return self._refs

    def _mark_sent(self, asked: _Asked) -> None:
        asked.sent = self._clock()
        if asked.hub_time is None:
            asked.hub_time = asked.sent * 1000 + self._hub_offset

    def _inform(self, tracker: Tracker, message: Request, answer: Reply) -> None:
        state = getattr(answer, "job", None)
        if not isinstance(state, m.JobState):
            return
        tracker.answered(state)
        if isinstance(message, m.Follow) or (isinstance(message, m.Submit) and message.follow):
            tracker.followed = True
        if tracker.followed and tracker.verdict is None:
            self._trackers.setdefault(state.id, weakref.WeakSet()).add(tracker)

    def tail(self, tracker: Tracker, job: str, since: int) -> Tail:
        """Starts collecting pushed log lines of a job, until `untail`."""
        tail = Tail(tracker, since)
        self._tails.setdefault(job, []).append(tail)
        return tail

    def untail(self, job: str, tail: Tail) -> bool:
        """Ends a tail; returns whether it was the job's last."""
        tails = self._tails.get(job, [])
        tails.remove(tail)
        if tails:
            return False
        del self._tails[job]
        return True

    def is_tailed(self, job: str) -> bool:
        """Checks whether lines of this job are already being pushed."""
        return job in self._tails

    # ---------------------------------------------------------------------------------------------- reconnecting

    def opened(self, welcome: m.Welcome) -> list[m.Message]:
        """Handles a new connection; returns the messages to send on it first, in order."""
        first = self._epoch is None
        if welcome.epoch != self._epoch or not welcome.recovered:
            self._epoch, self._seq = welcome.epoch, welcome.seq
        self._open = True
        self._hub_offset = welcome.time - self._clock() * 1000
        waiting, self._asked = self._asked, {}
        again: list[m.Message] = []
        if not first:
            again.extend(self._follow_again())
        for ref, asked in waiting.items():
            if asked.inner:
                continue
            self._asked[ref] = asked
            if isinstance(asked.message, m.Submit) and asked.message.reuse in _RUN_AGAIN and asked.hub_time:
                again.append(self._probe(ref, asked))
            else:
                self._mark_sent(asked)
                again.append(asked.message)
        return again

    def closed(self) -> None:
        """Handles the loss of the connection; requests wait for the next one."""
        self._open = False
        for asked in self._asked.values():
            asked.sent = None

    def _follow_again(self) -> Iterable[m.Message]:
        for job, trackers in list(self._trackers.items()):
            live = [t for t in trackers if t.verdict is None]
            if not live:
                del self._trackers[job]
                continue
            tails = self._tails.get(job, [])
            since = min((tail.next for tail in tails), default=0)
            message = m.Follow(ref=0, job=job, logs=bool(tails), since=since)
            self._register(message, self._followed_again(live), inner=True)
            yield message

    def _followed_again(self, trackers: list[Tracker]) -> Callable[[Reply | AsmanError], None]:
        def done(answer: Reply | AsmanError) -> None:
            for tracker in trackers:
                if isinstance(answer, AsmanError):
                    tracker.failed(answer)
                elif isinstance(answer, m.Following) and answer.job is not None:
                    tracker.answered(answer.job)

        return done

    def _probe(self, ref: int, asked: _Asked) -> m.Message:
        """Makes a request for the job before a submit that may begin another run is sent a second time.

        The hub may have accepted the first submit. It has if the job was queued after the submit was sent: a run that
        is over is then the answer. A second submit joins a run that is not over.
        """
        submit = asked.message
        assert isinstance(submit, m.Submit)  # noqa: S101 - the caller has checked it
        since = asked.hub_time or 0

        def done(answer: Reply | AsmanError) -> None:
            if ref not in self._asked:
                return  # the caller has given up
            if isinstance(answer, AsmanError) and not isinstance(answer, NotFound):
                self._answer(ref, answer)
                return
            if isinstance(answer, m.Job):
                state = answer.job
                if state.state is State.FINISHED and state.queued >= since:
                    self._answer(ref, m.Accepted(ref, "queued", state))
                    return
                if state.state in (State.QUEUED, State.RUNNING):
                    submit.reuse = "any"  # it may end before the submit is there
            self._mark_sent(asked)
            self._later.append(submit)

        get = m.Get(ref=0, job=job_id(submit.definition))
        self._register(get, done, inner=True)
        return get

    # ------------------------------------------------------------------------------------------------ receiving

    def received(self, messages: Iterable[m.HubToClient | Broken]) -> list[m.Message]:
        """Handles the messages of one frame, in order; returns the messages to send in response."""
        for message in messages:
            self._take(message)
        later, self._later = self._later, []
        return later

    def _take(self, message: m.HubToClient | Broken) -> None:
        match message:
            case m.Changed(seq=seq, job=state):
                self._seq = max(self._seq, seq)
                self._apply(state)
                self._pushed(message)
            case m.LogLines(job=job, lines=lines):
                for tail in self._tails.get(job, ()):
                    tail.pushed(lines)
            case m.PhaseProgress(job=job):
                for tracker in list(self._trackers.get(job, ())):
                    tracker.progressed(message)
            case m.WorkerChanged(seq=seq):
                self._seq = max(self._seq, seq)
                self._pushed(message)
            case m.CountsChanged():
                self._pushed(message)
            case m.Ping(ref=ref):
                self._later.append(m.Pong(ref))
            case m.Pong() | m.Welcome():
                pass
            case m.Error(ref=None):
                log.warning("the hub says: %s (%s)", message.message, message.code)
            case m.Error(ref=ref):
                self._answer(ref, message.error)
            case Broken(ref=ref):
                if ref is not None:
                    self._answer(ref, ProtocolError(f"the hub's answer can't be read: {message.error}"))
            case _:
                self._answer(message.ref, message)

    def _apply(self, state: m.JobState) -> None:
        trackers = self._trackers.get(state.id)
        if trackers is None:
            return
        for tracker in list(trackers):
            tracker.pushed(state)
            if tracker.verdict is not None:
                trackers.discard(tracker)
        if not trackers:
            del self._trackers[state.id]

    def _pushed(self, push: Push) -> None:
        if self._on_push is not None:
            self._on_push(push)

    def _answer(self, ref: int | None, answer: Reply | AsmanError) -> None:
        asked = self._asked.pop(ref, None) if ref is not None else None
        if asked is not None:
            asked.done(answer)

    # ------------------------------------------------------------------------------------------------- giving up

    def expire(self, timeout: float) -> None:
        """Fails the requests that have been unanswered for longer than ``timeout``, in seconds."""
        limit = self._clock() - timeout
        late = [ref for ref, asked in self._asked.items() if asked.sent is not None and asked.sent < limit]
        for ref in late:
            self._answer(ref, TimedOut(f"the hub did not answer within {timeout:g} seconds"))

    def fail(self, error: AsmanError) -> None:
        """Fails all requests and trackers, because there will be no further connection."""
        self._open = False
        waiting, self._asked = self._asked, {}
        for asked in waiting.values():
            asked.done(error)
        for trackers in list(self._trackers.values()):
            for tracker in list(trackers):
                tracker.failed(error)
