"""Jobs as resources: their results, logs and output files, for clients that read instead of call."""

from __future__ import annotations

import base64
import re
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec

from asman_shared import limits
from asman_shared.errors import NotFound
from asman_shared.messages import LogSelection
from asman_shared.states import State

from ..access import Right
from ..core.job_state import state_of
from ..rest.blob_bytes import Unsent
from . import answers
from .contents import content_of, text_of
from .context import Context
from .jobs import finished
from .protocol import INVALID_PARAMS, RpcError

PAGE: Final = 50
"""Number of jobs in one page of the list."""
LOG_LINES: Final = 2000
"""Largest number of the last lines of a log that a resource has."""
URI_LENGTH: Final = 4096
"""Longest address of a resource, in characters."""
_URI: Final = re.compile(r"asman://jobs/(?P<job>[0-9a-f]{64})(?:/(?P<log>log)|/outputs/(?P<path>.+))?", re.DOTALL)

TEMPLATES: Final = [
    {
        "uriTemplate": "asman://jobs/{job}",
        "name": "job",
        "title": "A job with its result",
        "description": "State, verdict, output files and the end of the log of a job, as JSON.",
        "mimeType": "application/json",
    },
    {
        "uriTemplate": "asman://jobs/{job}/log",
        "name": "log",
        "title": "The log of a job",
        "description": f"The last {LOG_LINES} lines of the log of a job.",
        "mimeType": "text/plain",
    },
    {
        "uriTemplate": "asman://jobs/{job}/outputs/{+path}",
        "name": "output",
        "title": "An output file of a job",
        "description": "The content of an output file of a finished job.",
    },
]


async def listed(context: Context) -> dict[str, Any]:
    """Answers ``resources/list``: the finished jobs, the newest first.

    Raises:
        RpcError: The cursor is none of this hub's.
        Forbidden: The key may not read.
        Unavailable: The database can't be read now.
    """
    context.access.need(Right.READ)
    cursor = context.call.params.get("cursor")
    if cursor is not None and (not isinstance(cursor, str) or re.fullmatch("[0-9]{1,16}", cursor) is None):
        raise RpcError(INVALID_PARAMS, "'cursor' is the nextCursor of the page before")
    before = None if cursor is None else min(int(cursor), limits.WHOLE)
    found = await context.hub.store.page(context.access.queue, [State.FINISHED], before, PAGE)
    resources = []
    for job in found:
        state = state_of(job)
        end = answers.ended(state, state.verdict) if state.verdict is not None else "finished"
        resources.append(
            {
                "uri": f"asman://jobs/{state.id}",
                "name": f"job {state.id[:12]}",
                "description": end.encode("utf-8", "replace").decode(),
                "mimeType": "application/json",
            }
        )
    made: dict[str, Any] = {"resources": resources}
    if len(found) == PAGE:
        made["nextCursor"] = str(found[-1].number)
    return made


async def read(context: Context) -> dict[str, Any]:
    """Answers ``resources/read``.

    Raises:
        RpcError: There is no such resource, or it is too large.
        AsmanError: It can't be read now.
    """
    uri = context.call.params.get("uri")
    found = _URI.fullmatch(uri) if isinstance(uri, str) and len(uri) <= URI_LENGTH else None
    if found is None:
        known = ", ".join(str(each["uriTemplate"]) for each in TEMPLATES)
        raise RpcError(INVALID_PARAMS, f"there is no such resource; resources are {known}")
    try:
        if found["path"]:
            part = await _output(context, found["job"], unquote(found["path"]))
        elif found["log"]:
            part = {"mimeType": "text/plain", "text": await _log(context, found["job"])}
        else:
            part = {"mimeType": "application/json", "text": await _job(context, found["job"])}
    except NotFound as error:
        raise RpcError(INVALID_PARAMS, error.message, {"uri": uri}) from None
    return {"contents": [{"uri": uri, **part}]}


async def _job(context: Context, job: str) -> str:
    async with context.reading() as shell:
        state = await shell.durable(await shell.job(job))
        told = await answers.about(context, shell, state)
    return msgspec.json.encode(told["structuredContent"]).decode()


async def _log(context: Context, job: str) -> str:
    select: LogSelection | None = LogSelection(tail=LOG_LINES, max_bytes=limits.TOOL_TEXT_BYTES)
    lines: list[str] = []
    since: int | None = None
    async with context.reading() as shell:
        while select is not None and len(lines) < LOG_LINES:
            page = await context.hub.log_reader.page(shell, job, since, LOG_LINES, select)
            lines += [line.text for line in page.lines]
            since, select = page.next, page.rest
    return "\n".join([*lines, ""]).encode("utf-8", "replace").decode()


async def _output(context: Context, job: str, path: str) -> dict[str, Any]:
    async with context.reading() as shell:
        result = await finished(shell, job, path)
    file = result.outputs.get(path) if result is not None else None
    if file is None:
        raise NotFound(f"this job has no output '{path[:200]}'")
    try:
        body = await content_of(context, file, limits.TOOL_CONTENT_BYTES)
    except Unsent as error:
        raise NotFound(f"{error.message}; fetch it at {context.address(job, quote(path))}") from None
    text = text_of(body)
    if text is not None:
        return {"mimeType": file.media_type, "text": text}
    return {"mimeType": file.media_type, "blob": base64.b64encode(body).decode()}
