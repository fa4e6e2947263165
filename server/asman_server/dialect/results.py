"""Renders a job with its result, in the dialect's form."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import UNSET
from sqlalchemy import select

from asman_shared import limits
from asman_shared.definition import DataRef
from asman_shared.messages import OutputFile, Result, Verdict
from asman_shared.states import Reason, State

from ..core import Job
from ..core.job_state import log_end, state_of
from ..hub import Hub
from ..storage.database import Unreadable, unavailable
from ..storage.tables import results
from . import outgoing
from .as_sent import AsSent
from .live_logs import is_run_line, log_of
from .own_files import FILES

LOG_LINES: Final = 50_000
"""Largest number of log lines in a result; ``run-logs.json`` has all of them."""
LOG_BYTES: Final = 4 * 1024 * 1024
"""Approximate size of the text of those lines, in bytes."""


async def job_with_result(hub: Hub, queue: str, job: Job, sent: AsSent, base: str) -> outgoing.ListedJob:
    """Returns a job of a queue, with its whole result when it is finished.

    Args:
        hub: The hub.
        queue: The job's queue.
        job: The job.
        sent: Parts of its submission.
        base: The hub's address as its reader knows it; see `own_files.hub_address`.

    Raises:
        Unavailable: The database can't be read now.
    """
    shell = hub.registry.queues.get(queue)
    state = state_of(job)
    made = outgoing.job_of(shell.core if shell is not None else None, state, sent)
    if job.state is State.FINISHED:
        made.finished = outgoing.finished_value(state)
        made.finished.result = await _result(hub, queue, job, base)
    return made


async def stored_result(hub: Hub, queue: str, job: Job) -> Result | None:
    """Returns the stored result of a job; of one with outputs that can't be read any more, the others.

    Earlier hubs have stored results of workers of the dialect that no hub takes now.

    Raises:
        Unavailable: The database can't be read now.
    """
    with suppress(Unreadable):  # the reader logs it
        return await hub.store.result(queue, job.id)
    query = select(results.c.body).where(results.c.queue == queue, results.c.id == job.id)
    with unavailable("the hub can't read its database now ({}); try again"):
        async with hub.engine.connect() as connection:
            body = await connection.scalar(query)
    made, found = Result(), _outputs_in(body or b"")
    if job.verdict is not None and job.verdict.outputs != len(found):
        return made  # they are an earlier run's
    for name, file in found.items():
        try:
            made.outputs[name] = msgspec.convert(file, OutputFile)
        except msgspec.ValidationError:
            made.skipped[name] = "it was stored in a form that can't be read any more"
    return made


def _outputs_in(body: bytes) -> dict[str, Any]:
    """The outputs of a stored result, however they look."""
    try:
        found = msgspec.msgpack.decode(body)
    except msgspec.DecodeError:
        return {}
    outputs = found.get("outputs") if isinstance(found, dict) else None
    return outputs if isinstance(outputs, dict) else {}


async def _result(hub: Hub, queue: str, job: Job, base: str) -> outgoing.RunResult:
    stored = await stored_result(hub, queue, job) or Result()
    verdict = job.verdict or Verdict(ok=False, reason=Reason.ERROR)
    by_itself = verdict.reason in (Reason.SUCCESS, Reason.FAILED)
    return outgoing.RunResult(
        status_code=UNSET if verdict.exit_code is None else verdict.exit_code,
        logs=await _logs(hub, queue, job) or _instead(job),
        duration=verdict.duration or UNSET,
        error=UNSET if by_itself else verdict.message or verdict.reason.value,
        is_timed_out=verdict.reason is Reason.TIMED_OUT,
        outputs={name: _ref(file.ref, base) for name, file in stored.outputs.items()},
    )


def _ref(ref: DataRef, base: str) -> dict[str, Any]:
    """Returns a ref that means the same to a page of any origin: a key, which only this hub knows, as an address."""
    made: dict[str, Any] = msgspec.to_builtins(ref)
    if ref.type == "key":
        return {"type": "url", "value": f"{base}{FILES}{ref.value}"}
    if ref.type == "url" and str(ref.value).startswith("/"):
        made["value"] = f"{base}{ref.value}"
    return made


def _instead(job: Job) -> list[outgoing.Log]:
    sentence = outgoing.sentence_of(state_of(job))
    return [] if sentence is None else [sentence]


async def _logs(hub: Hub, queue: str, job: Job) -> list[outgoing.Log]:
    """Returns the lines that the job wrote, with a line that says so if there are more than a result may have."""
    found: list[outgoing.Log] = []
    size, since, end = 0, job.log_start, log_end(job)
    while since < end and (lines := await hub.store.lines(queue, job.id, since, limits.LOG_BATCH_LINES)):
        since = lines[-1].seq + 1
        for line in (line for line in filter(is_run_line, lines) if line.seq < end):
            if len(found) == LOG_LINES or size >= LOG_BYTES:
                found.append(("\n… the rest of this log is at run-logs.json\n", job.finished))
                return found
            found.append(log_of(line))
            size += len(line.text)
    return found
