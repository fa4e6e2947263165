"""Submission of a job from the command line, and following it until it is finished."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from . import exits
from .attempts import losses_told, without_heading
from .json_values import job_value
from .named_job import reads
from .phases import phase_line
from .stop_signals import Stopped
from .terminal import OutputClosedError, Terminal, ask_yes_or_no, progress

if TYPE_CHECKING:
    from asman_shared.definition import Definition
    from asman_shared.messages import Verdict

    from ..client import Queue, SubmitFields
    from ..definitions import JobFields
    from ..job import Job
    from ..outputs import JobResult

_CANCEL_SECONDS = 10.0
"""Time limit for cancelling a job after Ctrl-C or a signal, in seconds."""
_SKIPPED = 20
"""Number of outputs that were not kept that are named."""
OnInterrupt = Literal["ask", "cancel", "leave"]
"""Effect of Ctrl-C, SIGTERM and SIGHUP on the job."""


async def submit(
    queue: Queue,
    terminal: Terminal,
    fields: JobFields,
    policy: SubmitFields,
    definition: Definition | dict[str, Any] | None = None,
) -> Job:
    """Submits a job and prints the outcome.

    Raises:
        AsmanError: The hub refused the job or can't be reached.
    """
    from ..errors import describe

    total = sum(_size(Path(path)) for path in cast(dict[str, Path], fields.get("files") or {}).values())
    own: dict[str, Any] = {**policy, **fields, "definition": definition}
    with progress("uploading", total, quiet=terminal.quiet) as moved:
        job = await queue.submit(progress=moved, **own)
    terminal.note(f"{_ANSWERS[job.answer]} {link_of(job)}")
    if job.answer == "cached" and job.verdict is not None and not job.verdict.ok:
        terminal.note("this result is a failure; without --reuse any, the job runs again")
    if job.earlier is not None and not job.earlier.ok:
        terminal.note(f"it ran before, and {describe(job.earlier)}")
    if job.verdict is None and (job.why or not job.able):
        terminal.note(f"waiting: {job.why or 'no connected worker can run it'}")
        known = queue.counts
        if reads(queue) and not (known.queued or known.running or known.finished or known.workers):
            terminal.note(NEW_HERE)
    return job


def link_of(job: Job) -> str:
    """Returns the job's address; on a terminal it also names the queue, so that a browser shows the job live.

    Elsewhere, as in the logs of CI systems, it leads to the result alone: a queue's name is all rights to it.
    """
    return f"{job.url}#?queue={job.address.queue}" if sys.stderr.isatty() else job.url


NEW_HERE: Final = "this queue is new and has no workers: check its name"
"""Note about a queue that exists only because a job was submitted to it, as with a mistyped name."""
_ANSWERS = {
    "queued": "queued:",
    "joined": "joined an existing run:",
    "cached": "cached, not run again:",
    "": "job:",
}
"""Notes by the answer to a submission."""


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


async def follow(
    job: Job, terminal: Terminal, stopped: Stopped, *, output: Path | None, on_interrupt: OnInterrupt = "ask"
) -> int:
    """Shows a job's log live, saves its outputs, and prints how it ended.

    Args:
        job: The job.
        terminal: Where it is shown.
        stopped: The signal that may end the command, from `stop_signals`.
        output: The folder in which outputs are saved.
        on_interrupt: Effect of Ctrl-C, SIGTERM and SIGHUP on the job; only after Ctrl-C can somebody be asked.

    Returns:
        The exit code.

    Raises:
        AsmanError: The job can no longer be followed, or its outputs can't be saved.
    """
    try:
        async with phase_line(job, terminal) as phases:

            def tell(text: str) -> None:
                phases.clear()
                terminal.note(text)

            async with losses_told(job, tell):
                async for lines in job.log_parts():
                    phases.clear()
                    terminal.logs(without_heading(lines, job.state.log_start))
        result = await job.result(check=False)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        await _interrupted(job, terminal, on_interrupt, ask=stopped.signal is None)
        return stopped.code(exits.CANCELLED)
    except OutputClosedError:
        with suppress(OutputClosedError):  # standard error may have had the same reader
            if job.verdict is None:
                terminal.note(f"the job keeps running: {link_of(job)}")
        raise
    return await finish(job, result, terminal, output=output)


async def finish(job: Job, result: JobResult, terminal: Terminal, *, output: Path | None) -> int:
    """Saves a finished job's outputs and prints how it ended; returns the exit code."""
    from asman_shared.errors import AsmanError

    saved: list[Path] = []
    problem: AsmanError | None = None
    if output is not None:
        try:
            saved = await save(result, output, quiet=terminal.quiet)
            terminal.note(f"saved {_files(len(saved))} in {output}")
        except AsmanError as error:
            problem = error
    say_skipped(result, terminal)
    if terminal.json:
        value: dict[str, Any] = job_value(job, result)
        if output is not None:
            value["saved"] = [str(path) for path in saved]
        terminal.value(value)
    say_end(result.verdict, terminal)
    code = exits.of_verdict(result.verdict)
    if problem is not None:
        terminal.error(f"error: {problem.message}; the outputs that could be read are in {output}")
    return code or (exits.OK if problem is None else exits.NOT_RUN)


def say_skipped(result: JobResult, terminal: Terminal) -> None:
    """Prints the names of files that were not kept, with the reason for each."""
    for name, why in islice(result.skipped.items(), _SKIPPED):
        # One line each, whatever the name holds: a second one could look like another message.
        terminal.note(f"not kept: {name}: {why}".replace("\n", "\\n"))
    if (more := len(result.skipped) - _SKIPPED) > 0:
        terminal.note(f"not kept: {more} more; 'asman job result --json' names them")


async def save(result: JobResult, output: Path, *, quiet: bool = False) -> list[Path]:
    """Saves outputs in a folder, with a progress bar on a terminal."""
    with progress("downloading", sum(file.size for file in result.outputs.values()), quiet=quiet) as moved:
        return await result.save_outputs(output, moved)


def say_end(verdict: Verdict, terminal: Terminal) -> None:
    """Prints how a job ended if it did not succeed; errors are printed even if the terminal is quiet."""
    from asman_shared.states import Reason

    from ..errors import describe

    if verdict.reason is Reason.FAILED or (verdict.ok and verdict.message):
        terminal.note(f"the job {describe(verdict)}")
    elif not verdict.ok:
        terminal.error(f"error: the job {describe(verdict)}")
        if verdict.hint:
            terminal.error(f"hint: {verdict.hint}")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


async def _interrupted(job: Job, terminal: Terminal, choice: OnInterrupt, *, ask: bool) -> None:
    if job.verdict is not None:
        return
    cancel = choice == "cancel" or (choice == "ask" and await _wants_cancel(job, ask=ask))
    if not cancel:
        terminal.note(f"the job keeps running: {link_of(job)}")
        return
    released = await job.cancel(timeout=_CANCEL_SECONDS)
    terminal.note("cancelled" if released else "there was nothing left to cancel")


async def _wants_cancel(job: Job, *, ask: bool) -> bool:
    """Asks whether to cancel; where nobody can be asked, only a run that this command started is cancelled."""
    if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
        return job.answer == "queued"
    return await asyncio.to_thread(ask_yes_or_no, "\ncancel the job? [Y/n] (n leaves it running) ", default=True)
