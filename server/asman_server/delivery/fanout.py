"""Distributes the changes of a queue: numbers and encodes each once, for all subscribers.

Clients that watch the queue are its `BroadcastGroup`: a change costs each of them one write. All others are called, in
the order in which they came, so that a run can be replayed. ``(epoch, seq)`` names a place in the stream of changes of
a queue. The epoch is drawn when the queue is loaded, so a place from before a restart is recognised as such; a window
of the newest changes lets a client that comes back have exactly what it missed.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from asman_shared.encoded import EncodedMessage
from asman_shared.messages import Changed, Counts, CountsChanged, JobState, WorkerChanged, WorkerState

from .broadcast import BroadcastGroup

WINDOW: Final = 4096
"""Changes kept for clients that come back."""


class Follower(Protocol):
    """Receives the changes of single jobs."""

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        """A job that it follows has changed."""

    def announce(self, encoded: EncodedMessage) -> None:
        """Receives the progress of a followed job."""


class Watcher(Protocol):
    """Receives every change and renders it itself; native clients join the broadcast group instead."""

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        """A job has changed."""

    def announce(self, encoded: EncodedMessage) -> None:
        """News of the queue."""


class Fanout:
    """Sends the changes of one queue to its broadcast group, watchers and followers.

    Args:
        counts: Gives the queue's totals.

    Attributes:
        broadcast: The outboxes of clients that are told everything. One that follows single jobs too is called besides,
            after the chorus has been told.
    """

    def __init__(self, counts: Callable[[], Counts]) -> None:
        self.epoch = secrets.token_hex(8)
        self.seq = 0
        self.broadcast = BroadcastGroup()
        self.watchers: dict[Watcher, None] = {}
        self.followers: dict[str, dict[Follower, None]] = {}
        self._window: deque[tuple[int, EncodedMessage]] = deque(maxlen=WINDOW)
        self._counts = counts
        self._sent = Counts()

    def watch(self, watcher: Watcher) -> None:
        """Tells it every change of the queue from now on."""
        self.watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """Ends `watch`."""
        self.watchers.pop(watcher, None)

    def follow(self, job_id: str, follower: Follower) -> None:
        """Tells it a job's changes from now on, until the job is finished."""
        self.followers.setdefault(job_id, {})[follower] = None

    def unfollow(self, job_id: str, follower: Follower) -> None:
        """Ends `follow`."""
        own = self.followers.get(job_id)
        if own is not None:
            own.pop(follower, None)
            if not own:
                del self.followers[job_id]

    def missed(self, epoch: str, seq: int) -> list[EncodedMessage] | None:
        """The changes after ``seq``, or None when they are no longer known."""
        if epoch != self.epoch or seq > self.seq:
            return None
        if seq == self.seq:
            return []
        if not self._window or self._window[0][0] > seq + 1:
            return None
        return [encoded for number, encoded in self._window if number > seq]

    def job(self, state: JobState, *, first: bool) -> None:
        """Tells everyone concerned that a job is now in this state, which is durable."""
        self.seq += 1
        if not first:
            state.summary = None
        # A packet that carries the summary must reach everyone, so it is never replaced by a later state.
        encoded = EncodedMessage(Changed(seq=self.seq, job=state), key=None if first else state.id)
        self._window.append((self.seq, encoded))
        self.broadcast.send(encoded)
        for watcher in list(self.watchers):
            watcher.changed(encoded, state)
        for follower in list(self.followers.get(state.id, ())):
            follower.changed(encoded, state)

    def progress(self, encoded: EncodedMessage, job_id: str) -> None:
        """Tells those who follow a job by itself how far it is."""
        for follower in list(self.followers.get(job_id, ())):
            follower.announce(encoded)

    def worker(self, state: WorkerState) -> None:
        """Tells watchers about a worker."""
        self.seq += 1
        encoded = EncodedMessage(WorkerChanged(seq=self.seq, worker=state), key=state.id)
        self._window.append((self.seq, encoded))
        self.broadcast.send(encoded)
        for watcher in list(self.watchers):
            watcher.announce(encoded)

    def totals(self) -> None:
        """Broadcasts the queue's totals if they changed."""
        if not self.watchers and not self.broadcast:
            return
        counts = self._counts()
        if counts != self._sent:
            self._sent = counts
            encoded = EncodedMessage(CountsChanged(counts=counts), key="counts")
            self.broadcast.send(encoded)
            for watcher in list(self.watchers):
                watcher.announce(encoded)
