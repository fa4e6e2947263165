"""Counters of the hub: plain numbers, increased where events happen and read on request.

No function here waits, locks or formats; `rest.metrics` turns the numbers into Prometheus' form.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from asman_shared.states import Reason

from .core import Job

Bounds = tuple[float, ...]
WAIT_BUCKETS: Bounds = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0)
"""Buckets for the time from queued to assigned, in seconds."""
RUN_BUCKETS: Bounds = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Buckets for the time from assigned to finished, in seconds."""
HASTY: Final = 0.001
"""Longest time from assigned to finished of a job that ends immediately, in seconds."""
HASTE_OF: Final = 8
"""Number of runs over which the share of such jobs is averaged."""
COMMIT_BUCKETS: Bounds = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Buckets for the duration of one transaction, in seconds."""


class Histogram:
    """Counts values by size.

    Args:
        bounds: The upper bound of each bucket, in seconds, growing; one more bucket has no bound.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Returns each bound with the number of values up to it, in Prometheus' form."""
        seen = 0
        made: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            made.append((bound, seen))
        return made


class JobMeter:
    """Counters of jobs: of one queue since it was loaded, or of all queues since the hub started.

    Args:
        whole: The hub's meter, which counts the same jobs.

    Attributes:
        haste: The share of the latest runs that were `HASTY`.
    """

    __slots__ = ("finished", "haste", "run", "wait", "whole")

    def __init__(self, whole: JobMeter | None = None) -> None:
        self.finished: Counter[Reason] = Counter()
        self.haste = 0.0
        self.wait = Histogram(WAIT_BUCKETS)
        self.run = Histogram(RUN_BUCKETS)
        self.whole = whole

    def assigned(self, job: Job) -> None:
        """Counts an assignment; a wait that a lost worker prolonged is not counted again."""
        if not job.losses:
            self._waited(max(0, job.started - job.queued) / 1000)

    def _waited(self, seconds: float) -> None:
        self.wait.observe(seconds)
        if self.whole is not None:
            self.whole._waited(seconds)

    def ended(self, job: Job) -> None:
        """Counts the end of a run."""
        if job.verdict is not None:
            self._ended(job.verdict.reason, max(0, job.finished - job.started) / 1000 if job.started else None)

    def _ended(self, reason: Reason, ran: float | None) -> None:
        self.finished[reason] += 1
        if ran is not None:
            self.run.observe(ran)
            self.haste += ((ran <= HASTY) - self.haste) / HASTE_OF
        if self.whole is not None:
            self.whole._ended(reason, ran)
