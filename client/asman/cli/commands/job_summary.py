"""``asman job summary``: one page about a job and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import options as o
from ..json_values import summary_value
from ..named_job import JobWords, with_job
from ..terminal import Terminal

if TYPE_CHECKING:
    from ...job import Job


def summary(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Show a summary of a job: its phase and build step, its last lines, and the first error."""
    from ...display.answers import summary_lines

    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        found = await job.summary()
        if json:
            terminal.value(summary_value(found))
            return 0
        for text in summary_lines(found):
            terminal.result(text)
        return 0

    with_job(words, hub, work)
