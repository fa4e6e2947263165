"""The ends of what the commands of a task wrote to their standard streams, for the logs of the task."""

from __future__ import annotations

from typing import Final

from asman_shared import limits
from asman_shared.messages import LINE_ENDS, STDERR, STDOUT, LogLine

from ..queues.shell import QueueShell

TEXT_BYTES: Final = 32 * 1024
"""Most text of one stream of one command, in characters; the end of it is kept."""
PAGES: Final = 8
"""Most pages of a log that are read for one command: a stream may be silent while the other is not."""


async def texts(shell: QueueShell, job_id: str, first: int, following: int) -> tuple[str, str]:
    """Returns the ends of what a command wrote to its standard output and its standard error.

    Args:
        shell: The queue.
        job_id: The job.
        first: Seq of the first line of the command.
        following: Seq after its last line.

    Raises:
        Unavailable: The log can't be read now.
    """
    found: dict[int, list[str]] = {STDOUT: [], STDERR: []}
    sizes = {STDOUT: 0, STDERR: 0}
    at = following
    for _ in range(PAGES):
        if at <= first or min(sizes.values()) >= TEXT_BYTES:
            break
        lines = [line for line in await shell.logs.read_back(job_id, at, limits.LOG_BATCH_LINES) if line.seq >= first]
        if not lines:
            break
        for line in reversed(lines):
            if line.stream in found and sizes[line.stream] < TEXT_BYTES:
                text = _text(line)
                found[line.stream].append(text)
                sizes[line.stream] += len(text)
        at = lines[0].seq
    return _joined(found[STDOUT]), _joined(found[STDERR])


def _text(line: LogLine) -> str:
    return line.text + LINE_ENDS[line.end]


def _joined(newest_first: list[str]) -> str:
    return "".join(reversed(newest_first))[-TEXT_BYTES:]
