"""How long a worker serves: until it is told to stop, until it has had its jobs, or until nothing came for a while."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger("asman.worker.stint")


class ServiceLimits:
    """Counts the jobs of all queues of a worker.

    Args:
        drain: Set when the worker is to take no more.
        max_jobs: How many it takes, 0 for any.
        idle: Seconds without a job after which it is to go, 0 for never.
    """

    def __init__(self, drain: asyncio.Event, *, max_jobs: int = 0, idle: float = 0) -> None:
        self._drain = drain
        self._max_jobs = max_jobs
        self._idle = idle
        self._timer: asyncio.TimerHandle | None = None
        self.begun = 0
        self.held = 0

    def start(self) -> None:
        """From now on, being without a job counts as idle."""
        self._wait()

    def take(self) -> bool:
        """One more job would begin; returns whether it may."""
        if self._max_jobs and self.begun >= self._max_jobs:
            return False
        self.hold()
        self.begun += 1
        if self._max_jobs and self.begun >= self._max_jobs:
            log.info("this worker has had its %d jobs", self.begun)
            self._drain.set()
        return True

    def hold(self) -> None:
        """One more job is here, such as one that went on through a restart."""
        self.held += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def let_go(self) -> None:
        """One less is here."""
        self.held -= 1
        self._wait()

    def stop(self) -> None:
        """The time no longer counts."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        if self._idle and not self.held and self._timer is None and not self._drain.is_set():
            self._timer = asyncio.get_running_loop().call_later(self._idle, self._went_by)

    def _went_by(self) -> None:
        self._timer = None
        log.info("no job came for %g seconds", self._idle)
        self._drain.set()
