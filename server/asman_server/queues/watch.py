"""Watches the durable state of one job, for requests that wait without a websocket."""

from __future__ import annotations

import asyncio
from types import TracebackType

import msgspec

from asman_shared.encoded import EncodedMessage
from asman_shared.messages import JobState

from ..core import Job
from .job_log import JobLog
from .shell import QueueShell


class JobWatch:
    """Follows a job while its context is active, and ends its subscriptions afterwards.

    Use as an async context manager.

    Args:
        shell: The queue, which must be kept in use meanwhile.
        job_id: Id of the job.

    Attributes:
        job: The job as the queue has it.
    """

    def __init__(self, shell: QueueShell, job_id: str) -> None:
        self.job: Job
        self._shell = shell
        self._id = job_id
        self._news = asyncio.Event()
        self._state: JobState | None = None
        self._log: JobLog | None = None

    @property
    def state(self) -> JobState:
        """The newest durable state; it no longer changes once the job is over."""
        assert self._state is not None, "known once the watch has been entered"  # noqa: S101
        return self._state

    async def __aenter__(self) -> JobWatch:
        """Starts following the job.

        Raises:
            NotFound: The queue has no such job.
            Unavailable: The job's state can't be made durable now.
        """
        self.job = await self._shell.job(self._id)
        self._shell.fanout.follow(self._id, self)
        try:
            state = await self._shell.durable(self.job)
        except BaseException:
            self._leave()
            raise
        if self._state is None:
            self._state = state
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._shell.fanout.unfollow(self._id, self)
        if self._log is not None:
            self._log.followers.pop(self, None)
            self._shell.logs.close(self._id)

    async def follow_log(self) -> None:
        """Counts new lines of the job's log as news from now on."""
        if not self.state.state.over:
            self._log = await self._shell.logs.open(self._id)
            self._log.followers[self] = None

    async def news(self) -> None:
        """Waits until there has been news since the last call."""
        await self._news.wait()
        self._news.clear()

    async def over(self) -> JobState:
        """Waits until the job is over and returns its last state."""
        while not self.state.state.over:
            await self.news()
        return self.state

    # --------------------------------------------------------------------------------------------- changes of the queue

    def changed(self, encoded: EncodedMessage, state: JobState) -> None:
        """Takes a change of the job."""
        if self._state is None or not self._state.state.over:
            self._state = msgspec.structs.replace(state)
            self._news.set()

    def announce(self, encoded: EncodedMessage) -> None:
        """Ignores the progress of the job, which a watch does not report."""

    def lines(self, encoded: EncodedMessage, first: int, last: int) -> None:
        """Counts new lines as news."""
        self._news.set()
