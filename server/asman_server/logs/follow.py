"""Sends one job's log to one client: pages from the store while the client is behind, live lines once it is level."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from asman_shared import limits
from asman_shared.encoded import EncodedMessage
from asman_shared.errors import Unavailable
from asman_shared.messages import JobState, LogLines

from ..core import Job
from ..core.job_state import log_end
from ..delivery.send_buffer import SendBuffer
from ..queues.job_log import JobLog, unbroken
from ..queues.shell import QueueShell

RETRY_SECONDS: Final = 1.0
"""Pause before the store is read again after it was unavailable, in seconds."""


class LogFollow:
    """Sends one job's log to one client.

    New lines are pushed while the client is level with the log. A client that falls behind is served from the store.

    Args:
        shell: The queue.
        job: Id of the job.
        since: The seq of the first line to send.
        send_buffer: The client's send buffer.
        tasks: The client's task group; holds the task that catches up.
        over: Called with the job's id when the last line and the last change have been sent.
    """

    def __init__(
        self,
        shell: QueueShell,
        job: str,
        since: int,
        send_buffer: SendBuffer,
        tasks: asyncio.TaskGroup,
        over: Callable[[str], None],
    ) -> None:
        self._shell = shell
        self._job = job
        self._cursor = since
        self._send_buffer = send_buffer
        self._tasks = tasks
        self._over = over
        self._catching_up: asyncio.Task[None] | None = None
        self._log: JobLog | None = None
        self._last: EncodedMessage | None = None
        self.ended: JobState | None = None
        self._finished = False
        self._until: int | None = None
        self._stopped = False

    async def start(self) -> None:
        """Starts with the lines that exist. The job may end, and `finish` or `stop` be called, while the store is read.

        Raises:
            NotFound: The queue has no such job.
        """
        job = await self._shell.job(self._job)
        if not self._ended(job):
            opened = await self._shell.logs.open(self._job)
            if self._ended(job) or self._stopped:
                self._shell.logs.close(self._job)
            else:
                self._log = opened
                opened.followers[self] = None
        self._finished = self._ended(job)
        self._until = log_end(job) if self._finished else None
        self._catch_up()

    def _ended(self, job: Job) -> bool:
        """Returns whether no more lines will come; the end may not be durable yet."""
        return self._finished or job.state.over

    def lines(self, encoded: EncodedMessage, first: int, last: int) -> None:
        """Pushes new lines if the client is level and keeps reading; otherwise they are fetched later."""
        if self._catching_up is not None:
            return
        message = encoded.message
        gap = message.gap if isinstance(message, LogLines) else None
        level = self._cursor == first or (gap is not None and self._cursor <= first)
        if level and not self._send_buffer.congested:
            self._send_buffer.push(encoded)
            self._cursor = last + 1
        else:
            self._catch_up()

    def finish(self, state: JobState, encoded: EncodedMessage | None) -> None:
        """Takes the end of the job, described by ``state``: sends the rest of the log, then ``encoded``."""
        self._finished = True
        self.ended = state
        self._last = encoded
        if self._catching_up is None:
            self._catch_up()

    def cut_short(self) -> None:
        """Sends the end of the job now: another run has begun, and its log is the one that is followed."""
        if self._last is not None:
            self._send_buffer.push(self._last)
        self.stop()
        self._over(self._job)

    def stop(self) -> None:
        """Stops following; nothing more is sent."""
        self._stopped = True
        if self._log is not None:
            self._log.followers.pop(self, None)
            self._shell.logs.close(self._job)
        if self._catching_up is not None:
            self._catching_up.cancel()

    def _catch_up(self) -> None:
        if self._catching_up is None and not self._stopped:
            self._catching_up = self._tasks.create_task(self._pages())

    def _start(self) -> int:
        """Returns the seq of the next line: the present run's first, unless the rest of an ended one is due first."""
        job = self._shell.core.jobs.get(self._job)
        return self._cursor if job is None or self.ended is not None else max(self._cursor, job.log_start)

    async def _pages(self) -> None:
        while not self._stopped:
            await self._send_buffer.drained()
            try:
                page = self._start(), limits.LOG_PAGE_LINES, self._until
                lines, at_end = await self._shell.logs.read(self._job, *page)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for part in unbroken(lines):
                gap = part[0].seq if part[0].seq > self._cursor else None
                self._send_buffer.push(EncodedMessage(LogLines(job=self._job, lines=part, gap=gap)))
                self._cursor = part[-1].seq + 1
            if at_end:
                break
        self._catching_up = None
        if self._finished and not self._stopped:
            if self._last is not None:
                self._send_buffer.push(self._last)
            self.stop()
            self._over(self._job)
