"""Passes the progress of jobs' phases on to their followers, a few times a second at most, without storing it.

Progress is neither durable nor numbered: a client that misses one report gets the next. The progress of a job without
followers costs nothing but the worker's own reports.
"""

from __future__ import annotations

import asyncio
from typing import Final

from asman_shared.encoded import EncodedMessage
from asman_shared.messages import PhaseProgress, PhaseReport

from ..core import QueueCore
from ..delivery.fanout import Fanout

INTERVAL: Final = 0.25
"""Shortest time between two reports about one job, in seconds."""


class ProgressNews:
    """Rate-limited progress reports of one queue's jobs.

    At most one report waits for each followed running job: the newest report replaces the one before.

    Args:
        core: The queue's core, with the current attempt of each job and its phase.
        fanout: The queue's fanout, with the followers.
    """

    def __init__(self, core: QueueCore, fanout: Fanout) -> None:
        self._core = core
        self._fanout = fanout
        self._waiting: dict[str, PhaseProgress] = {}
        self._told: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def report(self, incarnation: str, report: PhaseReport) -> None:
        """Takes a worker's report; reports from workers without the current attempt are ignored."""
        if report.job not in self._fanout.followers:
            return
        if self._core.current(incarnation, report.job, report.attempt) is None:
            return
        news = PhaseProgress(
            job=report.job,
            attempt=report.attempt,
            phase=report.phase,
            done=min(report.done, report.total),
            total=report.total,
            unit=report.unit,
        )
        if report.job in self._told:
            self._waiting[report.job] = news
        else:
            self._tell(news)

    def stop(self) -> None:
        """Discards the waiting reports."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        self._told.clear()

    def _tell(self, news: PhaseProgress) -> None:
        job = self._core.jobs.get(news.job)
        if job is None or job.attempt != news.attempt or job.phase is not news.phase:
            return  # the job has moved on meanwhile
        self._told.add(news.job)
        self._fanout.progress(EncodedMessage(news, key=f"progress {news.job}"), news.job)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._ticked)

    def _ticked(self) -> None:
        self._timer = None
        self._told.clear()
        waiting, self._waiting = self._waiting, {}
        for news in waiting.values():
            self._tell(news)
