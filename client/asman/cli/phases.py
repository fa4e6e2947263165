"""What is being done for a job that does not write anything yet, as one moving line on a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.status import Status

    from asman_shared.messages import JobState, PhaseProgress

    from ..job import Job
    from .terminal import Terminal

BAR_WIDTH: Final = 24
_SAYS: Final = {
    "assigned": "a worker has it",
    "staging": "its files are on their way to the worker",
    "pulling": "its image is being pulled",
    "building": "its image is being built",
    "running": "it runs",
    "uploading": "its outputs are on their way back",
}


class PhaseLine:
    """The line; it gives way to what the job writes, and comes back with the next phase."""

    def __init__(self, status: Status | None) -> None:
        self._status = status

    def say(self, text: str, progress: PhaseProgress | None = None) -> None:
        """Shows a text and how time passes, with a bar when it is known how far that is."""
        if self._status is not None:
            self._status.update(text if progress is None else bar(text, progress))
            self._status.start()

    def clear(self) -> None:
        """Makes room for what the job writes."""
        if self._status is not None:
            self._status.stop()


def bar(text: str, progress: PhaseProgress) -> RenderableType:
    """A text, a bar and the numbers behind it, on one line."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    line = Table.grid(padding=(0, 1))
    line.add_row(text, ProgressBar(total=progress.total, completed=progress.done, width=BAR_WIDTH), amount(progress))
    return line


def amount(progress: PhaseProgress) -> str:
    """How much is done: ``12.5 MiB of 40 MiB``, ``3 of 8 layers``."""
    if progress.unit != "bytes":
        return f"{progress.done} of {progress.total} {progress.unit}".rstrip()
    from asman_shared.units import format_size

    return f"{format_size(progress.done)} of {format_size(progress.total)}"


def told(state: JobState) -> str:
    """Where a job is, for people; empty when it is over."""
    if state.verdict is not None:
        return ""
    return _SAYS[state.phase.value] if state.phase is not None else "it waits for a worker"


@asynccontextmanager
async def phase_line(job: Job, terminal: Terminal) -> AsyncIterator[PhaseLine]:
    """Shows a job's phases while the block lasts, when standard error is a terminal."""
    if not sys.stderr.isatty() or terminal.quiet:
        yield PhaseLine(None)
        return
    from rich.console import Console

    line = PhaseLine(Console(stderr=True).status("", spinner="line"))

    async def follow() -> None:
        async for state, progress in job.steps():
            if text := told(state):
                line.say(text, progress)

    following = asyncio.create_task(follow())
    try:
        yield line
    finally:
        following.cancel()
        await asyncio.wait([following])
        if not following.cancelled():
            following.exception()  # whoever follows the log meets the same
        line.clear()
