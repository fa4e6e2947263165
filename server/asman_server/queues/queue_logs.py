"""The logs of one queue: lines in from workers, pages out to readers, stored on the way."""

from __future__ import annotations

import asyncio
from typing import Final

from asman_shared.errors import Unavailable
from asman_shared.messages import LogLine

from ..core import QueueCore
from ..storage.group_commit import GroupCommitter
from ..storage.reader import ChunkHead, Reader, page_full
from .job_log import JobLog
from .log_backlog import QUEUE_BYTES, LogBacklog

FLUSH_SECONDS: Final = 0.25
"""Seconds that a log line waits at most before it is handed to the journal."""


class QueueLogs:
    """See the module.

    Args:
        queue: The queue's name.
        core: Knows which attempts are live.
        committer: Stores lines.
        store: Reads them.
        log_backlog: Counts what is not stored yet, over all queues of the hub.

    Attributes:
        open_logs: The logs of jobs that run or are followed, by job.
        log_backlog: Counts what is not stored yet of this queue's logs.
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

    async def open(self, job_id: str) -> JobLog:
        """The live log of a job, taken up from the store if need be."""
        job_log = self.open_logs.get(job_id)
        if job_log is not None:
            return job_log
        job = self._core.jobs.get(job_id)
        heads = [] if job is None or not job.log_next else await self._heads(job_id)
        job_log = self.open_logs.get(job_id)
        if job_log is None:
            start = max(heads[-1].last + 1 if heads else 0, job.log_next if job is not None else 0)
            most = self._core.policy.log_bytes
            job_log = JobLog(self._queue, job_id, self._committer, start, heads, self.log_backlog, most)
            self.open_logs[job_id] = job_log
        return job_log

    async def _heads(self, job_id: str) -> list[ChunkHead]:
        """What is stored of a log; nothing when the store is away, which costs the cap its count but no line."""
        try:
            return await self._store.chunk_heads(self._queue, job_id)
        except Unavailable:
            return []

    async def add(self, incarnation: str, job_id: str, attempt: int, lines: list[LogLine]) -> JobLog | None:
        """Takes lines from a worker; those of an attempt that is not the live one are dropped."""
        if not lines or self._core.current(incarnation, job_id, attempt) is None:
            return None
        job_log = await self.open(job_id)
        job = self._core.current(incarnation, job_id, attempt)
        if job is None:
            self.close(job_id)
            return None
        job_log.add(lines)
        job.log_next = job_log.next_seq
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._timed)
        return job_log

    def flush(self) -> None:
        """Hands all open lines to the journal."""
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
        """Hands the open lines of one job to the journal."""
        job_log.flush(lambda: self.close(job_log.job))

    def finished(self, job_id: str) -> None:
        """A job is finished: its last lines go into the same commit as its state."""
        job_log = self.open_logs.get(job_id)
        if job_log is not None:
            self.flush_one(job_log)

    def clear(self, job_id: str) -> None:
        """A job is run again: the lines of its earlier run go, whoever follows it goes on."""
        job_log = self.open_logs.get(job_id)
        if job_log is not None:
            job_log.clear()

    def forget(self, job_id: str) -> None:
        """A job is removed, and its log with it."""
        job_log = self.open_logs.pop(job_id, None)
        if job_log is not None:
            job_log.clear()

    def close(self, job_id: str) -> None:
        """Lets go of a log that nobody writes to or follows any more."""
        job_log = self.open_logs.get(job_id)
        if job_log is None or job_log.followers or job_log.log_backlog:
            return
        job = self._core.jobs.get(job_id)
        if job is None or job.state.over:
            del self.open_logs[job_id]

    async def read(self, job_id: str, since: int, limit: int) -> tuple[list[LogLine], bool]:
        """Lines from ``since`` on, and whether there are none after them now.

        Of a log that nobody writes to, the end may be known only when a page after the last line is asked for.
        """
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
        """The last lines before ``until``, in order; none when nothing before it is kept."""
        live = self.open_logs.get(job_id)
        fresh = live.fresh_before(until, limit) if live is not None else None
        return fresh if fresh is not None else await self._store.lines_before(self._queue, job_id, until, limit)


def _reaches(lines: list[LogLine], since: int, end: int) -> bool:
    return not lines or lines[-1].seq + 1 >= end
