"""Forwards the lines of a queue's running jobs as they arrive, to sockets that get the lines of all jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import groupby
from typing import Final

from asman_shared import limits
from asman_shared.encoded import EncodedMessage
from asman_shared.errors import AsmanError
from asman_shared.messages import LINE_ENDS, STDERR, SYSTEM, LogLine, LogLines
from asman_shared.states import Phase

from ..core import Job
from ..queues.job_log import JobLog
from ..queues.queue_logs import QueueLogs
from ..queues.shell import QueueShell
from .outgoing import Log

FOLLOWED: Final = 10_000
"""Largest number of a queue's jobs whose lines are forwarded; the lines of further jobs can be fetched."""

RUNNING: Final = "Running"
_STEPS: Final = {
    Phase.ASSIGNED: "docker image pull",
    Phase.STAGING: "docker image pull",
    Phase.PULLING: "docker image pull",
    Phase.BUILDING: "docker build",
    Phase.RUNNING: RUNNING,
    Phase.UPLOADING: RUNNING,
}


def is_run_line(line: LogLine) -> bool:
    """Whether the job itself wrote a line."""
    return not line.phase.prepares and line.stream != SYSTEM


def is_build_line(line: LogLine) -> bool:
    """Whether a line is about pulling or building the image."""
    return line.phase.prepares


def step_of(line: LogLine) -> str:
    """The dialect's name of the step that a line belongs to; empty for a line that the dialect does not show."""
    return _STEPS[line.phase] if is_build_line(line) or is_run_line(line) else ""


async def has_run_lines(logs: QueueLogs, job: Job) -> bool:
    """Whether the present run of a job wrote any line that is still kept.

    Raises:
        Unavailable: The database can't be read now.
    """
    since = job.log_start
    while True:
        lines, at_end = await logs.read(job.id, since, limits.LOG_BATCH_LINES)
        if any(is_run_line(line) for line in lines):
            return True
        if at_end or not lines:
            return False
        since = lines[-1].seq + 1


def log_of(line: LogLine) -> Log:
    """A line as the dialect writes it: with its end, because clients join texts without anything between them.

    A line that ended in a carriage return has it in its text, and no other end, even if its worker knew no ends.
    """
    text = line.text if line.text.endswith("\r") else line.text + LINE_ENDS[line.end]
    return (text, line.time, True) if line.stream == STDERR else (text, line.time)


class LiveLogs:
    """Forwards the new lines of running jobs to one receiver.

    Args:
        shell: The queue.
        tell: Called with a job's id, a step and the step's new lines.
    """

    def __init__(self, shell: QueueShell, tell: Callable[[str, str, list[Log]], None]) -> None:
        self._shell = shell
        self._tell = tell
        self._followed: dict[str, JobLog | None] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def follow(self, job: str) -> None:
        """Forwards the lines of a job from now on."""
        if job in self._followed or len(self._followed) >= FOLLOWED:
            return
        self._followed[job] = None
        task = asyncio.get_running_loop().create_task(self._open(job))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, job: str) -> None:
        try:
            opened = await self._shell.logs.open(job)
        except AsmanError:
            self._followed.pop(job, None)
            return
        if job in self._followed:
            self._followed[job] = opened
            opened.followers[self] = None
        else:
            self._shell.logs.close(job)

    def leave(self, job: str) -> None:
        """Stops forwarding the lines of a job."""
        opened = self._followed.pop(job, None)
        if opened is not None:
            opened.followers.pop(self, None)
            self._shell.logs.close(job)

    def close(self) -> None:
        """Stops forwarding the lines of all jobs."""
        for job in list(self._followed):
            self.leave(job)

    def lines(self, encoded: EncodedMessage, first: int, last: int) -> None:
        """Takes new lines of a job."""
        message = encoded.message
        if isinstance(message, LogLines):
            for step, some in groupby(message.lines, step_of):
                if step:
                    self._tell(message.job, step, [log_of(line) for line in some])
