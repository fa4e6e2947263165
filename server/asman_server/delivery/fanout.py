"""Distributes the changes of a queue: numbers and encodes each once, for all subscribers.

Clients that watch the queue form its `BroadcastGroup`: a change costs one write per client. All other subscribers are
called in the order in which they subscribed, so that a run can be replayed. ``(epoch, seq)`` names a position in the
stream of changes of a queue. The epoch is drawn when the queue is loaded, so a position from before a restart is
recognised. A window of the newest changes gives a returning client exactly the changes that it missed.
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
"""Number of changes kept for clients that reconnect."""


class Follower(Protocol):
    """Receives the changes of single jobs."""

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        """Receives a change of a followed job."""

    def announce(self, encoded: EncodedMessage) -> None:
        """Receives the progress of a followed job."""


class Watcher(Protocol):
    """Receives every change and renders it itself; native clients join the broadcast group instead."""

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        """Receives a change of a job."""

    def announce(self, encoded: EncodedMessage) -> None:
        """Receives a change of a worker or of the totals."""


class Fanout:
    """Sends the changes of one queue to its broadcast group, watchers and followers.

    Args:
        counts: Gives the queue's totals.

    Attributes:
        broadcast: The send buffers of clients that receive every change. A client that also follows single jobs is
            called as well, after the broadcast.
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
        """Sends every later change of the queue to a watcher."""
        self.watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """Ends `watch`."""
        self.watchers.pop(watcher, None)

    def follow(self, job_id: str, follower: Follower) -> None:
        """Sends a job's later changes to a follower, until the job is finished."""
        self.followers.setdefault(job_id, {})[follower] = None

    def unfollow(self, job_id: str, follower: Follower) -> None:
        """Ends `follow`."""
        own = self.followers.get(job_id)
        if own is not None:
            own.pop(follower, None)
            if not own:
                del self.followers[job_id]

    def missed(self, epoch: str, seq: int) -> list[EncodedMessage] | None:
        """Returns the changes after ``seq``, or None when they are no longer known."""
        if epoch != self.epoch or seq > self.seq:
            return None
        if seq == self.seq:
            return []
        if not self._window or self._window[0][0] > seq + 1:
            return None
        return [encoded for number, encoded in self._window if number > seq]

    def job(self, state: JobState, *, first: bool) -> None:
        """Sends the new, durable state of a job to all its subscribers."""
        self.seq += 1
        if not first:
            state.summary = None
        # A message that carries the summary must reach everyone, so it is never replaced by a later state.
        encoded = EncodedMessage(Changed(seq=self.seq, job=state), key=None if first else state.id)
        self._window.append((self.seq, encoded))
        self.broadcast.send(encoded)
        if self.watchers:
            for watcher in list(self.watchers):
                watcher.changed(encoded, state)
        followers = self.followers.get(state.id)
        if followers:
            for follower in list(followers):
                follower.changed(encoded, state)

    def progress(self, encoded: EncodedMessage, job_id: str) -> None:
        """Sends the progress of a job to its followers."""
        for follower in list(self.followers.get(job_id, ())):
            follower.announce(encoded)

    def worker(self, state: WorkerState) -> None:
        """Sends the state of a worker to all watchers."""
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
