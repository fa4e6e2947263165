"""``asman job cancel`` and ``asman job delete``: ends of one job, of several, or of all in a state."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .. import exits
from .. import options as o
from ..json_values import job_value
from ..named_job import check_reads, handle, split_jobs
from ..terminal import Terminal, ask_yes_or_no

if TYPE_CHECKING:
    from asman_shared.errors import AsmanError

    from ...client import Queue
    from ...job import Job

AT_ONCE: Final = 500
"""Maximum number of jobs whose requests are on their way at one moment."""
_SHOWN: Final = 10
"""Number of refusals that are printed."""

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[QUEUE] [JOB]…",
        help="The queue (default: $ASMAN_QUEUE), and the jobs: ids, prefixes of them, or URLs.",
        show_default=False,
    ),
]
StateOption = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="Queued|Running", help="All jobs in this state, instead of some. Repeatable."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask whether all jobs in a state are meant.")]


def cancel(
    words: Words = None,
    hub: o.HubOption = None,
    state: StateOption = None,
    yes: YesOption = False,
    namespace: Annotated[str, typer.Option("--namespace", help="The slot to release; '*' for all.")] = "_",
    json: o.JsonOption = False,
) -> None:
    """Cancel jobs; one keeps running if somebody else submitted it too.

    Several jobs may be named; --state takes all jobs of the queue that are in a state. With --json, one named job is
    one value, and all else a list.
    """
    released: list[bool] = []

    async def end(job: Job) -> dict[str, Any]:
        freed = await job.cancel(namespace)
        released.append(freed)
        return {**job_value(job), "released": freed}

    terminal = Terminal(json=json)
    ended = end_jobs(words or [], hub, _states(state), "cancel", ended_by(end), yes=yes)
    if not json and ended.one and released:
        terminal.note("cancelled" if released[0] else "there was nothing to cancel")
    elif not json and not ended.one:
        terminal.note(f"cancelled {jobs_words(sum(released))}")
        if idle := len(released) - sum(released):
            terminal.note(f"{jobs_words(idle)} had nothing to cancel; --namespace '*' cancels in all slots")
    ended.say(terminal)


def delete(
    words: Words = None,
    hub: o.HubOption = None,
    state: StateOption = None,
    yes: YesOption = False,
    json: o.JsonOption = False,
) -> None:
    """Stop jobs that are running, and delete them and their results.

    Several jobs may be named; --state takes all jobs of the queue that are in a state. With --json, one named job is
    one value, and all else a list.
    """

    async def end(job: Job) -> dict[str, Any]:
        await job.delete()
        return {"id": job.id, "deleted": True}

    terminal = Terminal(json=json)
    ended = end_jobs(words or [], hub, _states(state), "delete", ended_by(end), yes=yes)
    if not json and (ended.values or not ended.one):
        terminal.note("deleted" if ended.one else f"deleted {jobs_words(len(ended.values))}")
    ended.say(terminal)


@dataclass
class Ended:
    """The outcome: a value for each job that was ended, and the refusals of the others."""

    one: bool
    values: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[str, AsmanError]] = field(default_factory=list)

    def say(self, terminal: Terminal) -> None:
        """Prints values and refusals, and exits.

        Raises:
            AsmanError: The one job that was named was refused.
        """
        if self.one and self.refused:
            raise self.refused[0][1]
        if terminal.json:
            terminal.value(self.values[0] if self.one else self.values)
        for named, error in self.refused[:_SHOWN]:
            terminal.error(f"error: {named}: {error.message}")
        if (more := len(self.refused) - _SHOWN) > 0:
            terminal.error(f"error: {jobs_words(more)} more were refused")
        raise typer.Exit(exits.of_error(self.refused[0][1]) if self.refused else exits.OK)


def end_jobs(
    words: list[str],
    hub: str | None,
    states: list[Any],
    verb: str,
    end: Callable[[Queue, str], Awaitable[dict[str, Any]]],
    *,
    yes: bool,
    example: str = "Queued",
) -> Ended:
    """Ends the jobs that a command line names, or runs them again; a refusal of one does not keep the others.

    Args:
        words: The queue and the jobs.
        hub: The hub, if the queue is a name.
        states: All jobs in one of these states, or finished for one of these reasons, instead of some.
        verb: What is done to them, for sentences.
        end: Does it to the job that a word names, and returns its value.
        yes: Whether nobody has to be asked about all jobs in a state.
        example: A state or reason, for a sentence.
    """
    from asman_shared.errors import AsmanError, BadRequest

    if states:
        if len(words) > 1:
            raise exits.usage(BadRequest(f"unexpected argument '{words[1]}': give jobs or --state, not both"))
        queue, names = words[0] if words else None, list[str]()
    else:
        if yes:
            raise exits.usage(BadRequest("--yes is for --state: named jobs are never asked about"))
        queue, names = split_jobs(words)
        if not names:
            raise exits.usage(
                BadRequest(f"no job was named: give its id or URL, or --state {example} to {verb} all of them")
            )
    ended = Ended(one=len(names) == 1)

    async def one(opened: Queue, named: str) -> None:
        try:
            ended.values.append(await end(opened, named))
        except AsmanError as error:
            ended.refused.append((named, error))

    async def work() -> None:
        async with o.open_queue(queue, hub) as opened:
            chosen = list(dict.fromkeys(names))
            if states:
                check_reads(opened)
                chosen = [job.id async for job in opened.jobs(states)]
                question = f"{verb} {jobs_words(len(chosen))}, all that are {' or '.join(states)}?"
                confirm(question, yes=yes or not chosen)
            for at in range(0, len(chosen), AT_ONCE):
                await asyncio.gather(*(one(opened, named) for named in chosen[at : at + AT_ONCE]))

    asyncio.run(work())
    return ended


def ended_by(end: Callable[[Job], Awaitable[dict[str, Any]]]) -> Callable[[Queue, str], Awaitable[dict[str, Any]]]:
    """Returns what ends a job by its name; one that is named by its whole id is not read before."""

    async def by_name(queue: Queue, named: str) -> dict[str, Any]:
        return await end(await handle(queue, named))

    return by_name


def _states(given: list[str] | None) -> list[Any]:
    from asman_shared.errors import BadRequest
    from asman_shared.states import State

    known = {each.value.lower(): each for each in (State.QUEUED, State.RUNNING)}
    for word in given or ():
        if word.lower() not in known:
            raise exits.usage(BadRequest(f"--state must be Queued or Running, not '{word[:40]}'"))
    return [known[word.lower()] for word in given or ()]


def confirm(question: str, *, yes: bool) -> None:
    """Asks on a terminal; elsewhere somebody must have said yes.

    Raises:
        BadRequest: Nobody can be asked.
        Exit: The answer is no.
    """
    if yes:
        return
    need_terminal(question)
    if not ask_yes_or_no(f"{question} [y/N] ", default=False):
        raise typer.Exit(1)


def need_terminal(question: str) -> None:
    """Checks that there is somebody to ask.

    Raises:
        BadRequest: Nobody can be asked.
    """
    from asman_shared.errors import BadRequest

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadRequest(f"{question} Nobody can be asked here: add --yes")


def jobs_words(count: int) -> str:
    """Returns a number of jobs in words."""
    return "1 job" if count == 1 else f"{count} jobs"
