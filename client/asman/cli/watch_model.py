"""The model of a watched queue: its newest jobs, its workers, and its throughput, independent of the terminal."""

from __future__ import annotations

from collections import deque
from typing import Final

from asman_shared.messages import Counts, JobState, WorkerState
from asman_shared.states import State

from ..changes import Change

JOBS: Final = 500
"""Maximum number of jobs in the model; the oldest finished ones are dropped first."""
WORKERS: Final = 1000
"""Maximum number of workers in the model; further ones are ignored."""
RATE_SECONDS: Final = 60
"""Time over which the rate is measured, in seconds."""


class WatchModel:
    """The newest jobs and the workers of a queue, and the number of jobs that finished each second.

    Args:
        now: The present time of a monotonic clock, in seconds.
        hub_time: The hub's clock at that time, in epoch milliseconds; jobs that finished before are not counted.
    """

    def __init__(self, now: float, hub_time: int) -> None:
        self._began = now
        self._hub_time = hub_time
        self.counts = Counts()
        self.jobs: dict[str, JobState] = {}
        self.workers: dict[str, WorkerState] = {}
        self.done = 0
        self._seconds: deque[tuple[int, int]] = deque()

    def apply(self, change: Change, now: float) -> None:
        """Takes one change."""
        match change:
            case JobState():
                self._job(change, now)
            case WorkerState(state="gone"):
                self.workers.pop(change.id, None)
            case WorkerState():
                if change.id in self.workers or len(self.workers) < WORKERS:
                    self.workers[change.id] = change
            case Counts():
                self.counts = change

    def _job(self, job: JobState, now: float) -> None:
        before = self.jobs.pop(job.id, None)
        news = before is None or before.finished != job.finished
        if news and job.state is State.FINISHED and job.finished >= self._hub_time:
            self._finished(now)
        if job.state is State.REMOVED:
            return
        if job.summary is None and before is not None:
            job.summary = before.summary
        self.jobs[job.id] = job
        if len(self.jobs) > JOBS:
            over = next((each for each in self.jobs.values() if each.state is State.FINISHED), None)
            del self.jobs[over.id if over is not None else min(self.jobs.values(), key=lambda each: each.queued).id]

    def _finished(self, now: float) -> None:
        self.done += 1
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((second, 1))
        while self._seconds and self._seconds[0][0] <= second - RATE_SECONDS:
            self._seconds.popleft()

    def busy(self) -> dict[str, tuple[int, float, int]]:
        """Counts the jobs, CPUs and GPUs in use by worker, as far as the jobs are in the model."""
        found: dict[str, tuple[int, float, int]] = {}
        for job in self.jobs.values():
            if job.state is State.RUNNING and job.summary is not None:
                jobs, cpus, gpus = found.get(job.worker, (0, 0.0, 0))
                found[job.worker] = jobs + 1, cpus + job.summary.cpus, gpus + job.summary.gpus
        return found

    def per_second(self, now: float) -> list[int]:
        """Counts the jobs that finished in each of the last `RATE_SECONDS` seconds, the latest one at the end."""
        counted = dict(self._seconds)
        return [counted.get(int(now) - back, 0) for back in range(RATE_SECONDS - 1, -1, -1)]

    def rate(self, now: float) -> float:
        """Computes jobs per second over the last `RATE_SECONDS` seconds, or since the start if that is shorter."""
        watched = max(1.0, min(float(RATE_SECONDS), now - self._began))
        return sum(self.per_second(now)) / watched

    def shown(self, most: int) -> list[JobState]:
        """Lists the jobs to show: running ones, then the latest finished ones, then waiting ones."""
        ranks = {State.RUNNING: 0, State.FINISHED: 1, State.QUEUED: 2}

        def place(job: JobState) -> tuple[int, int, int]:
            return ranks.get(job.state, 3), -max(job.finished, job.started), job.queued

        return sorted(self.jobs.values(), key=place)[:most]
