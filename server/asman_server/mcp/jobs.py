"""The tools that ask about jobs and cancel them."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from asman_shared.errors import NotFound, cut
from asman_shared.messages import Cancelled, JobState, Result
from asman_shared.states import State

from ..access import Right
from ..core import events as ev
from ..core.job_state import state_of
from ..queues.inquiry import explain_job
from ..queues.shell import QueueShell
from ..rest.base import unfinished
from ..rest.blob_bytes import Unsent
from ..rest.queues import totals
from ..rest.requests import ask
from . import answers
from .arguments import (
    CancelArguments,
    ExplainArguments,
    ListArguments,
    OutputsArguments,
    StatusArguments,
    WaitArguments,
)
from .contents import Files, content_of, link, size_of, text_of, words
from .context import Context
from .tasks import task_of

_COMMAND: Final = 120
"""Characters of a command in a list."""


async def status(context: Context, arguments: StatusArguments) -> dict[str, Any]:
    """Returns the state of a job, with its result when it is finished.

    Raises:
        AsmanError: The job is not there, or can't be read now.
    """
    async with context.reading() as shell:
        state = await shell.durable(await shell.job(arguments.job))
        return await answers.about(context, shell, state)


async def wait(context: Context, arguments: WaitArguments) -> dict[str, Any]:
    """Waits for the end of a job and returns its result, or its state when the time is up.

    Raises:
        AsmanError: The job is not there, can't be read now, or too many calls wait.
    """
    async with context.reading() as shell:
        state = await shell.durable(await shell.job(arguments.job))
        if not state.state.over and arguments.seconds:
            if context.call.tasks:
                return task_of(context, shell, state)
            state = await context.over(shell, state.id, arguments.seconds)
        if state.state is State.REMOVED:
            raise NotFound("the job was deleted meanwhile", field="job")
        return await answers.about(context, shell, state)


async def cancel(context: Context, arguments: CancelArguments) -> dict[str, Any]:
    """Cancels a job, unless it is finished or others hold it.

    Raises:
        AsmanError: The job is not there, the key may not cancel, or the hub can't do it now.
    """
    async with context.changing() as shell:
        job = await shell.job(arguments.job)
        answer = await ask(lambda reply_to: shell.apply(ev.CancelRequested(job.id, "_", reply_to)), Cancelled)
    state = answer.job
    told = {"job": state.id, "state": str(state.state), "released": answer.released}
    if not answer.released:
        why = "it is finished" if state.state.over else "only others hold it"
        sentence = f"Job {state.id} was not cancelled: {why}."
    elif state.state.over:
        sentence = f"Job {state.id} is cancelled."
    else:
        sentence = f"Job {state.id} is being cancelled, unless others wait for it: it is {state.state} now."
    return {"content": [words(sentence)], "structuredContent": told}


async def explain(context: Context, arguments: ExplainArguments) -> dict[str, Any]:
    """Explains the state of a job.

    Raises:
        AsmanError: The job is not there, or can't be read now.
    """
    async with context.reading() as shell:
        found = await explain_job(shell, arguments.job, context.hub.clock())
    told: dict[str, Any] = {"job": found.job, "state": str(found.state), "why": found.sentence}
    told |= {"able": found.able, "workers": found.workers}
    if found.position is not None:
        told |= {"position": found.position, "position_is_at_least": found.beyond}
    if found.waiting_for:
        told["waiting_for"] = found.waiting_for
    if found.phase is not None:
        told["phase"] = str(found.phase)
    if found.worker:
        told["worker"] = found.worker
    sentence = f"Job {found.job} is {found.state}: {found.sentence}."
    if found.state is State.QUEUED:
        sentence += f" Workers online: {found.workers}, of which {found.able} could run it when they are free."
        if found.position is not None:
            sentence += f" Jobs before it: {'at least ' if found.beyond else ''}{found.position}."
    return {"content": [words(sentence)], "structuredContent": told}


async def listed(context: Context, arguments: ListArguments) -> dict[str, Any]:
    """Lists jobs, the newest first, and counts the jobs and workers of the queue.

    Raises:
        Forbidden: The key may not read.
        Unavailable: The database can't be read now.
    """
    context.access.need(Right.READ)
    name = context.access.queue
    states = [] if arguments.states is UNSET else [State(word) for word in arguments.states]
    before = None if arguments.before is UNSET else arguments.before
    found = await context.hub.store.page(name, states, before, arguments.limit)
    counts = await totals(context.hub, name)
    jobs = [_in_list(state_of(job)) for job in found]
    told: dict[str, Any] = {"jobs": jobs}
    told |= {name: getattr(counts, name) for name in ("queued", "running", "finished", "workers")}
    lines = [
        f"{counts.queued} queued, {counts.running} running and {counts.finished} finished jobs; "
        f"{counts.workers} workers online."
    ]
    lines += [" ".join(filter(None, (job["job"], job["state"], job["end"], job["what"]))) for job in jobs]
    if len(found) == arguments.limit:
        told["next"] = found[-1].number
        lines.append(f"There may be more: call again with before={found[-1].number}.")
    return {"content": [words("\n".join(lines))], "structuredContent": told}


def _in_list(state: JobState) -> dict[str, str]:
    verdict, summary = state.verdict, state.summary
    end = ""
    if verdict is not None:
        code = "" if verdict.exit_code is None else f" (exit code {verdict.exit_code})"
        end = f"{verdict.reason}{code}"
    what = "" if summary is None else " ".join(filter(None, (summary.image or summary.build, summary.command)))
    return {
        "job": state.id,
        "state": str(state.state),
        "end": end,
        "what": cut(what, _COMMAND).encode("utf-8", "replace").decode(),
    }


async def outputs(context: Context, arguments: OutputsArguments) -> dict[str, Any]:
    """Returns the output files of a finished job: small texts themselves, others as links.

    Raises:
        AsmanError: The job or file is not there, is not finished, or can't be read now.
    """
    async with context.reading() as shell:
        result = await finished(shell, arguments.job, "" if arguments.path is UNSET else arguments.path)
    if arguments.path is not UNSET:
        return await _one(context, arguments.job, arguments.path, result, arguments.max_bytes)
    files = await Files.of(context, arguments.job, result, arguments.max_bytes)
    parts = [files.in_words()]
    skipped = list(result.skipped.items()) if result is not None else []
    parts += [f"Not kept: {name}: {why}" for name, why in skipped[:10]]
    if len(skipped) > 10:
        parts.append(f"Not kept: {len(skipped) - 10} more")
    return {"content": [words("\n".join(parts)), *files.links]}


async def finished(shell: QueueShell, job_id: str, path: str = "") -> Result | None:
    """Returns the result of a finished job.

    Raises:
        NotFound: The queue has no such job, or it is not finished.
    """
    state = await shell.durable(await shell.job(job_id))
    if state.state is not State.FINISHED:
        raise NotFound(
            unfinished(path) if path else "this job is not finished, so it has no outputs yet; wait for its end"
        )
    return await shell.result(job_id)


async def _one(context: Context, job: str, path: str, result: Result | None, most: int) -> dict[str, Any]:
    file = result.outputs.get(path) if result is not None else None
    if file is None:
        known = sorted(result.outputs)[:20] if result is not None else []
        raise NotFound(cut(f"this job has no output '{path[:200]}'; it has {', '.join(known) or 'none'}"), field="path")
    found = link(context, job, path, file)
    try:
        text = text_of(await content_of(context, file, most))
    except Unsent as error:
        return {"content": [words(f"{path} ({size_of(file)}): {error.message}; fetch it at {found['uri']}"), found]}
    if text is None:
        return {"content": [words(f"{path} ({size_of(file)}) is not text; fetch it at {found['uri']}"), found]}
    return {"content": [words(text)]}


__all__ = ["cancel", "explain", "finished", "listed", "outputs", "status", "wait"]
