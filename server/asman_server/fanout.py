"""Who is told what: changes numbered once, encoded once, and shared by every subscriber.

Subscribers are told in the order in which they came, so that a run can be replayed. ``(epoch, seq)`` names a place in
the stream of changes of a queue. The epoch is drawn when the queue is loaded, so a place from before a restart is
recognised as such; a window of the newest changes lets a client that comes back have exactly what it missed.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from asman_shared.codec import Packet
from asman_shared.messages import Changed, Counts, CountsChanged, JobState, WorkerChanged, WorkerState

WINDOW: Final = 4096
"""Changes kept for clients that come back."""


class Subscriber(Protocol):
    """A client's connection, as the queue sees it."""

    def changed(self, packet: Packet, state: JobState) -> None:
        """A job that this client follows has changed."""

    def announce(self, packet: Packet) -> None:
        """News of the queue, or of how far a job is that this client follows."""


class Fanout:
    """See the module.

    Args:
        counts: Gives the queue's totals.
    """

    def __init__(self, counts: Callable[[], Counts]) -> None:
        self.epoch = secrets.token_hex(8)
        self.seq = 0
        self.watchers: dict[Subscriber, None] = {}
        self.followers: dict[str, dict[Subscriber, None]] = {}
        self._window: deque[tuple[int, Packet]] = deque(maxlen=WINDOW)
        self._counts = counts
        self._told = Counts()

    def watch(self, subscriber: Subscriber) -> None:
        """Pushes every change of the queue to a client from now on."""
        self.watchers[subscriber] = None

    def follow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pushes a job's changes to a client from now on, until the job is finished."""
        self.followers.setdefault(job_id, {})[subscriber] = None

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        """Ends `follow`."""
        own = self.followers.get(job_id)
        if own is not None:
            own.pop(subscriber, None)
            if not own:
                del self.followers[job_id]

    def leave(self, subscriber: Subscriber, followed: set[str]) -> None:
        """A client has gone."""
        self.watchers.pop(subscriber, None)
        for job_id in followed:
            self.unfollow(job_id, subscriber)

    def missed(self, epoch: str, seq: int) -> list[Packet] | None:
        """The changes after ``seq``, or None when they are no longer known."""
        if epoch != self.epoch or seq > self.seq:
            return None
        if seq == self.seq:
            return []
        if not self._window or self._window[0][0] > seq + 1:
            return None
        return [packet for number, packet in self._window if number > seq]

    def job(self, state: JobState, *, first: bool) -> None:
        """Tells everyone concerned that a job is now in this state, which is durable."""
        self.seq += 1
        if not first:
            state.summary = None
        # A packet that carries the summary must reach everyone, so it is never replaced by a later state.
        packet = Packet(Changed(seq=self.seq, job=state), key=None if first else state.id)
        self._window.append((self.seq, packet))
        for subscriber in list(self.watchers):
            subscriber.changed(packet, state)
        for subscriber in list(self.followers.get(state.id, ())):
            if subscriber not in self.watchers:
                subscriber.changed(packet, state)

    def progress(self, packet: Packet, job_id: str) -> None:
        """Tells those who follow a job by itself how far it is."""
        for subscriber in list(self.followers.get(job_id, ())):
            subscriber.announce(packet)

    def worker(self, state: WorkerState) -> None:
        """Tells watchers about a worker."""
        self.seq += 1
        packet = Packet(WorkerChanged(seq=self.seq, worker=state), key=state.id)
        self._window.append((self.seq, packet))
        for watcher in list(self.watchers):
            watcher.announce(packet)

    def totals(self) -> None:
        """Tells watchers the queue's totals, if they are not what was told last."""
        if not self.watchers:
            return
        counts = self._counts()
        if counts != self._told:
            self._told = counts
            packet = Packet(CountsChanged(counts=counts), key="counts")
            for watcher in list(self.watchers):
                watcher.announce(packet)
