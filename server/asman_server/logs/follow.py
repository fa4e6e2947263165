"""One client's way through one job's log: pages from the store while it is behind, pushes once it is level."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from asman_shared import limits
from asman_shared.encoded import EncodedMessage
from asman_shared.errors import Unavailable
from asman_shared.messages import JobState, LogLines

from ..delivery.send_buffer import SendBuffer
from ..queues.job_log import JobLog
from ..queues.shell import QueueShell

RETRY_SECONDS: Final = 1.0
"""Pause before the store is asked again after it could not answer."""


class LogFollow:
    """See the module. A reader that falls behind is not pushed to any more but served from the store again.

    Args:
        shell: The queue.
        job: Id of the job.
        since: The first line wanted.
        send_buffer: The client's.
        tasks: The client's; holds the catching up.
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
        self._stopped = False

    async def start(self) -> None:
        """Begins with what is there."""
        job = await self._shell.job(self._job)
        self._finished = job.state.over
        if not self._finished:
            self._log = await self._shell.logs.open(self._job)
            self._log.followers[self] = None
        self._catch_up()

    def lines(self, encoded: EncodedMessage, first: int, last: int) -> None:
        """New lines: pushed if this client is level and reads, fetched later if not."""
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
        """The job is finished, as ``state`` says: sends what is left of the log, then ``encoded``."""
        self._finished = True
        self.ended = state
        self._last = encoded
        if self._catching_up is None:
            self._catch_up()

    def stop(self) -> None:
        """Ends it; nothing more is sent."""
        self._stopped = True
        if self._log is not None:
            self._log.followers.pop(self, None)
            self._shell.logs.close(self._job)
        if self._catching_up is not None:
            self._catching_up.cancel()

    def _catch_up(self) -> None:
        if self._catching_up is None and not self._stopped:
            self._catching_up = self._tasks.create_task(self._pages())

    async def _pages(self) -> None:
        while not self._stopped:
            await self._send_buffer.drained()
            try:
                lines, at_end = await self._shell.logs.read(self._job, self._cursor, limits.LOG_PAGE_LINES)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if lines:
                gap = lines[0].seq if lines[0].seq > self._cursor else None
                self._send_buffer.push(EncodedMessage(LogLines(job=self._job, lines=lines, gap=gap)))
                self._cursor = lines[-1].seq + 1
            if at_end:
                break
        self._catching_up = None
        if self._finished and not self._stopped:
            if self._last is not None:
                self._send_buffer.push(self._last)
            self.stop()
            self._over(self._job)
