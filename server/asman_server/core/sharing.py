"""Sharing of equal values among waiting jobs, as the jobs of a deep queue mostly hold the same few values.

The scenario ``depth`` of the bench measures the effect.
"""

from __future__ import annotations

from typing import Any, Final

from .job import Job

KNOWN: Final = 10_000
"""Most values that are remembered."""


class Shared:
    """One object for each value that jobs share."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # Texts, numbers, tuples and shapes are never equal to each other, so one dictionary holds them all.
        self._known: dict[Any, Any] = {}

    def slim(self, job: Job) -> None:
        """Replaces a job's values by equal objects that other jobs use too."""
        known = self._known
        if len(known) > KNOWN:
            known.clear()
        # Without types, as compiled code would make a new object of each number that it reads.
        summary: Any = job.summary
        shape: Any = known.setdefault(job.shape, job.shape)
        job.shape = shape
        summary.image = known.setdefault(summary.image, summary.image)
        summary.cpus = known.setdefault(summary.cpus, summary.cpus)
        if summary.memory == shape.memory:
            summary.memory = shape.memory
        job.lane = known.setdefault(job.lane, job.lane)
        if len(job.holders) == 1:
            job.holders = known.setdefault(job.holders, job.holders)
