"""Makes the answers of tools that are about one job: a sentence, its files and its log, for agents and for programs."""

from __future__ import annotations

from typing import Any, Final

from asman_shared.errors import AsmanError, cut
from asman_shared.messages import JobState, LogLine, Verdict
from asman_shared.states import State
from asman_shared.units import format_duration

from ..logs.summary import summarise_log
from ..queues.inquiry import explain_job
from ..queues.shell import QueueShell
from .contents import Files, words
from .context import Context, doing

TEXTS: Final = 16 * 1024
"""Text of output files in the answer about a finished job, in bytes."""
LINE: Final = 500
"""Characters of a log line in the answer about a job."""


def failure(error: AsmanError) -> dict[str, Any]:
    """Returns the answer about an error: its sentence, and the argument at fault."""
    field = argument_named(error.field)
    sentence = f"{error.message} (argument: {field})" if field else error.message
    if error.retry:
        sentence += " [trying again may help]"
    return {"content": [words(sentence)], "isError": True}


def argument_named(field: str | None) -> str:
    """Returns the argument of a tool that a field of a definition came from."""
    name = (field or "").removeprefix("definition.").removeprefix("requirements.")
    for theirs, ours in _ARGUMENTS.items():
        if name == theirs or name.startswith(f"{theirs}."):
            return ours + name.removeprefix(theirs)
    return name


_ARGUMENTS: Final = {
    "inputs": "files",
    "build.dockerfile": "dockerfile",
    "build": "dockerfile",
    "maxDuration": "max_duration",
}


async def about(context: Context, shell: QueueShell, state: JobState, answer: str = "") -> dict[str, Any]:
    """Returns the answer about a job in a state.

    Args:
        context: The call.
        shell: The queue.
        state: The job's durable state.
        answer: For a submission: ``queued``, ``joined`` or ``cached``.

    Raises:
        NotFound: The job was deleted meanwhile.
        Unavailable: The database can't be read now.
    """
    told: dict[str, Any] = {"job": state.id, "state": str(state.state), "url": context.address(state.id)}
    if answer:
        told["answer"] = answer
    if state.state is State.FINISHED and state.verdict is not None:
        return await _finished(context, shell, state, state.verdict, told)
    found = await explain_job(shell, state.id, context.hub.clock())
    if found.state is State.FINISHED and state.state is not State.FINISHED:  # it has ended since the state was told
        return await about(context, shell, await shell.durable(await shell.job(state.id)), answer)
    told |= {"state": str(found.state), "why": found.sentence, "able": found.able, "workers": found.workers}
    if found.phase is not None:
        told["phase"] = str(found.phase)
    if found.worker:
        told["worker"] = found.worker
    lines = [
        f"Job {state.id} is not finished: {doing(state, found.phase)}: {found.sentence}.",
        "Call wait with this id for its end, logs for its output so far, or cancel.",
        told["url"],
    ]
    return {"content": [words("\n".join(lines))], "structuredContent": told}


def brief(state: JobState, answer: str) -> dict[str, Any]:
    """Returns the answer about a job to a key that may not read: how it is, but neither its log nor its files."""
    told: dict[str, Any] = {"job": state.id, "state": str(state.state), "answer": answer}
    if state.verdict is None:
        sentence = f"Job {state.id} is {state.state}."
    else:
        told |= {"ok": state.verdict.ok, "reason": str(state.verdict.reason), "exit_code": state.verdict.exit_code}
        sentence = ended(state, state.verdict)
    return {"content": [words(sentence)], "structuredContent": told}


async def _finished(
    context: Context, shell: QueueShell, state: JobState, verdict: Verdict, told: dict[str, Any]
) -> dict[str, Any]:
    files = await Files.of(context, state.id, await shell.result(state.id), TEXTS)
    summary = await summarise_log(context.hub.log_reader, shell, state.id)
    last, first_error = _lines(summary.last), _lines(summary.error)
    told |= {"ok": verdict.ok, "reason": str(verdict.reason), "exit_code": verdict.exit_code, "lines": summary.lines}
    told |= {"duration_ms": verdict.duration, "outputs": files.listed, "log_tail": last}
    if files.left_out:
        told["more_outputs"] = files.left_out
    if first_error:
        told["first_error"] = first_error
    told |= {name: getattr(verdict, name) for name in ("message", "hint") if getattr(verdict, name)}
    parts = [ended(state, verdict), told["url"], files.in_words()]
    if first_error:
        parts.append("Around the first error:\n" + "\n".join(first_error))
    if last:
        parts.append(f"The last {len(last)} of {summary.lines} log lines:\n" + "\n".join(last))
    else:
        parts.append("Its log is empty.")
    return {"content": [words("\n".join(parts)), *files.links], "structuredContent": told}


def ended(state: JobState, verdict: Verdict) -> str:
    """Returns how a job ended, in a sentence."""
    word = "succeeded" if verdict.ok else f"did not succeed ({verdict.reason})"
    code = "" if verdict.exit_code is None else f" with exit code {verdict.exit_code}"
    more = "; ".join(filter(None, (verdict.message, verdict.hint)))
    took = f" after {format_duration(verdict.duration)}" if verdict.duration else ""
    return f"Job {state.id} {word}{code}{took}{': ' + more if more else ''}."


def _lines(lines: list[LogLine]) -> list[str]:
    return [cut(line.text.rstrip("\r"), LINE).encode("utf-8", "replace").decode() for line in lines]
