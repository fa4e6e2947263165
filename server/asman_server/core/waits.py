"""Jobs that may wait only so long in the queue, by the time at which they are given up."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from .job import Job


class Waits:
    """A heap of deadlines; entries of jobs that no longer wait are passed over when their time comes."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    def watch(self, job: Job) -> None:
        """Notes a waiting job's deadline, if it has one."""
        if job.queue_limit:
            heapq.heappush(self._heap, (job.queued + job.queue_limit, job.number, job.id))

    def due(self, now: int) -> Iterator[tuple[str, int]]:
        """The (id, number) of jobs whose deadline has passed; they may have been assigned or have left since."""
        while self._heap and self._heap[0][0] <= now:
            _, number, job_id = heapq.heappop(self._heap)
            yield job_id, number
