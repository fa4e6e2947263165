"""Manages the logs of one queue: takes lines from workers, stores them and serves pages to readers."""

from __future__ import annotations

import asyncio
from typing import Final

from asman_shared.errors import Unavailable
from asman_shared.messages import LogLine

from ..core import QueueCore
from ..storage.group_commit import GroupCommitter
from ..storage.reader import ChunkHead, Reader, page_full
from .job_log import JUMP, JobLog
from .log_backlog import QUEUE_BYTES, LogBacklog

FLUSH_SECONDS: Final = 0.25
"""Longest time that a log line waits before it is handed to the group commit, in seconds."""


class QueueLogs:
    """The logs of one queue's jobs.

    Args:
        queue: The queue's name.
        core: The queue's core, with the current attempts.
        committer: Stores lines.
        store: Reads stored lines.
        log_backlog: Counts the log bytes of all the hub's queues that are not stored yet.

    Attributes:
        open_logs: The logs of jobs that run or are followed, by job.
        log_backlog: Counts the log bytes of this queue that are not stored yet.
    """

    def __init__(
        self,
        queue: str,
        core: QueueCore,
        committer: GroupCommitter,
        store: Reader,
        log_backlog: LogBacklog | None = None,
    ) -> None:
        self.open_logs: dict[str, JobLog] = {}
        self.log_backlog = LogBacklog(QUEUE_BYTES, log_backlog)
        self._queue = queue
        self._core = core
        self._committer = committer
        self._store = store
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    async def open(self, job_id: str) -> JobLog:
        """Returns the open log of a job, opened from the store if needed."""
        job_log = self.open_logs.get(job_id)
        if job_log is not None:
            return job_log
        job = self._core.jobs.get(job_id)
        heads = [] if job is None or not job.log_next else await self._heads(job_id, job.log_start)
        job_log = self.open_logs.get(job_id)
        if job_log is None:
            start = max(heads[-1].last + 1 if heads else 0, job.log_next if job is not None else 0)
            most = self._core.policy.log_bytes
            job_log = JobLog(self._queue, job_id, self._committer, start, heads, self.log_backlog, most)
            self.open_logs[job_id] = job_log
        return job_log

    async def _heads(self, job_id: str, start: int) -> list[ChunkHead]:
        """Lists the stored chunks of a run's log; ``start`` is the seq of its first line.

        The list is empty when the store is unavailable: the cap then miscounts, but no line is lost.
        """
        try:
            return [head for head in await self._store.chunk_heads(self._queue, job_id) if head.first >= start]
        except Unavailable:
            return []

    async def add(self, incarnation: str, job_id: str, attempt: int, lines: list[LogLine]) -> JobLog | None:
        """Takes lines from a worker; lines of an attempt that is not the current one are dropped."""
        if self._ended or not lines or self._core.current(incarnation, job_id, attempt) is None:
            return None
        job_log = await self.open(job_id)
        job = self._core.current(incarnation, job_id, attempt)
        if job is None or self._ended:
            self.close(job_id)
            return None
        if full := self._committer.full():
            last = lines[-1].seq
            job_log.add(job_log.not_kept(lines, full))
            job.log_next = max(job_log.next_seq, min(last + 1, job_log.next_seq + JUMP))
        else:
            job_log.add(lines)
            job.log_next = job_log.next_seq
        job.log_bytes = job_log.size
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._timed)
        return job_log

    def flush(self) -> None:
        """Hands all open lines to the group commit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for job_log in list(self.open_logs.values()):
            self.flush_one(job_log)

    def _timed(self) -> None:
        self._timer = None
        for job_log in list(self.open_logs.values()):
            job_log.flush(now=False)

    def flush_one(self, job_log: JobLog) -> None:
        """Hands the open lines of one job to the group commit."""
        job_log.flush(lambda: self.close(job_log.job))

    def finished(self, job_id: str) -> None:
        """Takes the end of a job: its last lines go into the same commit as its state."""
        job_log = self.open_logs.get(job_id)
        if job_log is not None:
            self.flush_one(job_log)

    def begin(self, job_id: str) -> None:
        """Begins the log of a job's next run; its followers stay."""
        job_log = self.open_logs.get(job_id)
        if job_log is not None:
            self.flush_one(job_log)
            job_log.begin()

    def forget(self, job_id: str) -> None:
        """Discards the log of a job that is removed."""
        job_log = self.open_logs.pop(job_id, None)
        if job_log is not None:
            job_log.clear()

    def end(self) -> None:
        """Discards all lines, and takes none any more; for a queue that is deleted."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for job_log in self.open_logs.values():
            job_log.clear()

    def close(self, job_id: str) -> None:
        """Closes a log that has no writer and no follower any more."""
        job_log = self.open_logs.get(job_id)
        if job_log is None or job_log.followers or job_log.log_backlog:
            return
        job = self._core.jobs.get(job_id)
        if job is None or job.state.over:
            del self.open_logs[job_id]

    async def read(self, job_id: str, since: int, limit: int, until: int | None = None) -> tuple[list[LogLine], bool]:
        """Returns lines from ``since`` on, and whether they reach the end of the log for now.

        The end of a log that is not open may be known only when a page after its last line is read.

        Args:
            job_id: The job.
            since: Seq of the first line.
            limit: Largest number of lines.
            until: Seq of the first line that is not meant; None for all.
        """
        lines, at_end = await self._read(job_id, since, limit)
        if until is not None and lines and lines[-1].seq >= until:
            return [line for line in lines if line.seq < until], True
        return lines, at_end

    async def _read(self, job_id: str, since: int, limit: int) -> tuple[list[LogLine], bool]:
        live = self.open_logs.get(job_id)
        if live is not None:
            fresh = live.fresh(since, limit)
            if fresh is not None:
                return fresh, _reaches(fresh, since, live.next_seq)
        lines = await self._store.lines(self._queue, job_id, since, limit)
        live = self.open_logs.get(job_id)
        if live is None:
            return lines, not page_full(lines, limit)
        if not lines and live.recent:
            lines = live.fresh(max(since, live.recent[0].seq), limit) or []
        return lines, _reaches(lines, since, live.next_seq)

    async def read_back(self, job_id: str, until: int, limit: int) -> list[LogLine]:
        """Returns the last lines before ``until``, in order; none when no earlier line is kept."""
        live = self.open_logs.get(job_id)
        fresh = live.fresh_before(until, limit) if live is not None else None
        return fresh if fresh is not None else await self._store.lines_before(self._queue, job_id, until, limit)


def _reaches(lines: list[LogLine], since: int, end: int) -> bool:
    return not lines or lines[-1].seq + 1 >= end
