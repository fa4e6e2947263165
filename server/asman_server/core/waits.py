"""Deadlines of jobs that may wait in the queue for a limited time."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from .job import Job


class Waits:
    """A heap of deadlines. Only the newest of each job counts; outdated ones are skipped when they come up."""

    __slots__ = ("_heap", "_until")

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._until: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._heap)

    def watch(self, job: Job) -> None:
        """Notes the deadline of a waiting job, if it has one."""
        until = job.wait_until
        if not until:
            self._until.pop(job.id, None)
            return
        self._until[job.id] = until
        heapq.heappush(self._heap, (until, job.id))

    def due(self, now: int) -> Iterator[str]:
        """Yields the ids of jobs whose deadline has passed; such a job may no longer wait."""
        while self._heap and self._heap[0][0] <= now:
            until, job_id = heapq.heappop(self._heap)
            if self._until.get(job_id) == until:
                del self._until[job_id]
                yield job_id
