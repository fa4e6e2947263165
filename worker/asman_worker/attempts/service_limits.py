"""Ends a worker's service after a number of jobs or after a time without any."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger("asman.worker.stint")


class ServiceLimits:
    """Counts the jobs of all queues of a worker.

    Args:
        drain: Set here once the worker takes no more jobs.
        max_jobs: Number of jobs to take; 0 for no limit.
        idle: Time without a job after which the worker ends, in seconds; 0 for no limit.
    """

    def __init__(self, drain: asyncio.Event, *, max_jobs: int = 0, idle: float = 0) -> None:
        self._drain = drain
        self._max_jobs = max_jobs
        self._idle = idle
        self._timer: asyncio.TimerHandle | None = None
        self.begun = 0
        self.held = 0

    def start(self) -> None:
        """Starts to count idle time."""
        self._wait()

    def take(self) -> bool:
        """Counts a new job; returns False if the worker may not begin it."""
        if self._max_jobs and self.begun >= self._max_jobs:
            return False
        self.hold()
        self.begun += 1
        if self._max_jobs and self.begun >= self._max_jobs:
            log.info("this worker has run its %d jobs", self.begun)
            self._drain.set()
        return True

    def hold(self) -> None:
        """Counts a held job; called directly for one that survived a restart."""
        self.held += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def let_go(self) -> None:
        """Counts a job that is no longer held."""
        self.held -= 1
        self._wait()

    def stop(self) -> None:
        """Stops counting idle time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        if self._idle and not self.held and self._timer is None and not self._drain.is_set():
            self._timer = asyncio.get_running_loop().call_later(self._idle, self._went_by)

    def _went_by(self) -> None:
        self._timer = None
        log.info("no job arrived for %g seconds", self._idle)
        self._drain.set()
