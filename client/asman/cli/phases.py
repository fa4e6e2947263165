"""A status line on a terminal that shows the present phase of a job."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from asman_shared.terminal import safe_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.status import Status

    from asman_shared.messages import JobState, PhaseProgress

    from ..job import Job
    from .terminal import Terminal

BAR_WIDTH: Final = 24
"""Width of a progress bar, in columns."""
_SENTENCES: Final = {
    "assigned": "assigned to a worker",
    "staging": "copying files to the worker",
    "pulling": "pulling the image",
    "building": "building the image",
    "running": "running",
    "uploading": "uploading outputs",
}


class PhaseLine:
    """The status line; it disappears when the job writes output, and returns with the next phase.

    Args:
        status: The line; None where there is no terminal.
        before: Called before the line appears.
    """

    def __init__(self, status: Status | None, before: Callable[[], None] = lambda: None) -> None:
        self._status = status
        self._before = before

    def say(self, text: str, progress: PhaseProgress | None = None) -> None:
        """Shows a text with a spinner, and with a bar if the progress is known."""
        if self._status is not None:
            self._before()
            self._status.update(text if progress is None else bar(text, progress))
            self._status.start()

    def clear(self) -> None:
        """Removes the line before output of the job is written."""
        if self._status is not None:
            self._status.stop()


def bar(text: str, progress: PhaseProgress) -> RenderableType:
    """Draws a text, a bar and its numbers on one line."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1))
    drawn = ProgressBar(total=progress.total, completed=progress.done, width=BAR_WIDTH)
    line.add_row(Text(text), drawn, Text(amount(progress)))
    return line


def amount(progress: PhaseProgress) -> str:
    """Formats progress: ``12.5 MiB of 40 MiB``, ``3 of 8 layers``."""
    if progress.unit != "bytes":
        return f"{progress.done} of {progress.total} {safe_text.word(progress.unit)}".rstrip()
    from asman_shared.units import format_size

    return f"{format_size(progress.done)} of {format_size(progress.total)}"


def describe(state: JobState) -> str:
    """Describes a job's present phase for people; empty if the job is finished."""
    if state.verdict is not None:
        return ""
    return _SENTENCES[state.phase.value] if state.phase is not None else "waiting for a worker"


@asynccontextmanager
async def phase_line(job: Job, terminal: Terminal) -> AsyncIterator[PhaseLine]:
    """Shows a job's phases during the block, if standard error is a terminal."""
    if not sys.stderr.isatty() or terminal.quiet:
        yield PhaseLine(None)
        return
    from rich.console import Console

    line = PhaseLine(Console(stderr=True).status("", spinner="line"), terminal.end_line)

    async def follow() -> None:
        async for state, progress in job.steps():
            if text := describe(state):
                line.say(text, progress)

    following = asyncio.create_task(follow())
    try:
        yield line
    finally:
        following.cancel()
        await asyncio.wait([following])
        if not following.cancelled():
            following.exception()  # following the log raises the same error
        line.clear()
