"""Serves one job over HTTP, in the dialect's form: ``/j/{id}…`` and the same below ``/q/{queue}``."""

from __future__ import annotations

import mimetypes
from typing import Final
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from asman_shared.definition import SHA256, DataRef, Definition
from asman_shared.errors import BadRequest, Forbidden, NotFound
from asman_shared.messages import Accepted, Cancelled
from asman_shared.states import State

from ..access import Right, access
from ..core import Job
from ..core import events as ev
from ..hub import LOCAL
from ..rest.base import as_json, blob_response, hub_of
from ..rest.hostile import BYTES, elsewhere, file_headers
from ..rest.page import page
from ..rest.requests import ask, body_of, granted, label
from . import outgoing
from .ids import Identified
from .incoming import NAMESPACE, Copy
from .local import MAY_USE_LOCAL
from .outcomes import bytes_of
from .queue_views import QueueViews
from .results import job_with_result
from .submitting import submit

NOT_FOUND: Final = "Job not found"


class Found(Struct, frozen=True):
    """The stored job that a request is about, and its queue."""

    queue: str
    job: Job


class Data(Struct):
    """Answers with a value; null when there is none."""

    data: object


class Done(Struct, rename="camel", omit_defaults=True):
    """Answers that the request was carried out."""

    success: bool
    job_id: str = ""
    namespace: str = ""


class Said(Struct):
    """Answers that there was nothing to do."""

    message: str


def boards_of(request: Request) -> QueueViews:
    """The queue views of the hub that serves a request."""
    views: QueueViews = request.app.state.views
    return views


def _named(request: Request) -> tuple[str, str]:
    """The id of the job that a path names, as it stands there, and the key after it; empty where there is none."""
    named, _, key = str(request.path_params["id"]).removesuffix(".json").partition("~")
    return named, key


async def id_of(request: Request) -> str:
    """The id of the job that a path names, by either of its ids.

    Raises:
        BadRequest: The path's id can't be the id of a job.
    """
    named, _ = _named(request)
    if SHA256.fullmatch(named) is None:
        raise BadRequest("a job id is a sha256 in 64 lowercase hex digits", field="id")
    return await boards_of(request).aliases.job(named)


async def find(request: Request) -> Found | None:
    """Finds the job that a path names; no queue is made or loaded for it.

    It is the job of the path's queue, or of the queue that the key after its id belongs to (see `JobLinks`). An id
    alone finds a job only where the operator wants that.
    """
    hub, (_, key) = hub_of(request), _named(request)
    queue = granted(request, Right.READ) if "queue" in request.path_params else None
    job_id = await id_of(request)
    if queue is None and key:
        queues = await hub.store.queues_of(job_id)
        queue = next((each for each in queues if hub.links.opens(key, each, job_id)), None)
    elif queue is None and hub.config.public_job_ids and not hub.config.private_ids:
        found = await hub.store.anywhere(job_id)
        return Found(*found) if found is not None else None
    jobs = await hub.store.jobs(queue, [job_id]) if queue is not None else []
    return Found(queue, jobs[0]) if queue is not None and jobs else None


async def found_job(request: Request) -> Found:
    """Finds the job that a path names, as `find` does.

    Raises:
        NotFound: There is no such job.
    """
    found = await find(request)
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


async def known_definition(request: Request) -> tuple[str, Definition | None]:
    """The id of the job that a path names, and its definition; None if the hub knows none, or may not show it."""
    hub, (_, key) = hub_of(request), _named(request)
    job_id = await id_of(request)
    if ("queue" in request.path_params or key or hub.config.private_ids) and await find(request) is None:
        return job_id, None
    return job_id, await hub.store.definition(job_id)


async def definition_of(request: Request) -> tuple[str, Definition]:
    """The id and the definition of the job that a path names. An id alone is enough, unless the operator forbids it.

    Raises:
        NotFound: There is no such job.
    """
    job_id, definition = await known_definition(request)
    if definition is None:
        raise NotFound(NOT_FOUND)
    return job_id, definition


async def job(request: Request) -> Response:
    """Answers browsers with a job's page; other clients with its definition, and its result once it is finished."""
    asks_for_page = "text/html" in request.headers.get("accept", "")
    if asks_for_page and not str(request.path_params["id"]).endswith(".json"):
        return page(request)
    _, definition = await definition_of(request)
    found = await find(request)
    made = outgoing.StoredJob(definition)
    if found is not None and found.job.state is State.FINISHED:
        made.results = await job_with_result(hub_of(request), found.queue, found.job)
    return as_json(Data(made))


async def definition(request: Request) -> Response:
    """The job's definition, or null."""
    _, found = await known_definition(request)
    return as_json(Data(found))


async def result(request: Request) -> Response:
    """The job with its result, or null while it is not finished."""
    found = await find(request)
    if found is None or found.job.state is not State.FINISHED:
        return as_json(Data(None))
    return as_json(Data(await job_with_result(hub_of(request), found.queue, found.job)))


async def namespaces(request: Request) -> Response:
    """The namespaces that hold the job."""
    found = await find(request)
    return as_json(Data(list(found.job.holders) if found is not None else []))


async def input_file(request: Request) -> Response:
    """Answers with the bytes of an input of the job, or redirects to them."""
    _, made = await definition_of(request)
    name = str(request.path_params["path"])
    ref = (made.inputs or {}).get(name) or (made.config_files or {}).get(name)
    if ref is None:
        raise NotFound(f"this job has no input '{name[:200]}'")
    return await file_answer(request, ref, name)


async def output_file(request: Request) -> Response:
    """Answers with the bytes of an output of the job, or redirects to them."""
    found = await found_job(request)
    name = str(request.path_params["path"])
    hub = hub_of(request)
    stored = await hub.store.result(found.queue, found.job.id)
    file = stored.outputs.get(name) if stored is not None else None
    if file is None:
        raise NotFound(f"this job has no output '{name[:200]}'")
    return await file_answer(request, file.ref, name)


async def file_answer(request: Request, ref: DataRef, name: str) -> Response:
    """Answers with the content of a ref under a file's name, or with the way to it."""
    hub = hub_of(request)
    kind = mimetypes.guess_type(name)[0] or BYTES
    disposition = f"attachment; filename*=UTF-8''{quote(name.rsplit('/', 1)[-1])}"
    if ref.type == "url":
        return elsewhere(request, str(ref.value))
    if ref.type == "key":
        return await blob_response(hub, await hub.files.sha256(str(ref.value)), kind, disposition)
    return Response(bytes_of(ref), headers=file_headers(kind, disposition))


async def copy(request: Request) -> Response:
    """Submits the same definition to another queue."""
    body = await body_of(request, Copy)
    guarded = body.queue == LOCAL and hub_of(request).config.local_queue
    if guarded and not request.scope.get(MAY_USE_LOCAL):
        raise Forbidden("the queue 'local' is only for programs on the hub's own machine; use the queue's own name")
    target = access(hub_of(request).queue_name(body.queue))
    target.need(Right.SUBMIT)
    job_id, made = await definition_of(request)
    hub, aliases = hub_of(request), boards_of(request).aliases
    identified = Identified(made, job_id, job_id)
    async with hub.registry.using(target.queue, linger=True) as shell:
        await ask(lambda reply_to: submit(shell, hub, aliases, identified, body.control, reply_to), Accepted)
    return as_json(Done(success=True))


async def cancel(request: Request) -> Response:
    """Releases the job from a namespace (``*``: from all); it is stopped when nobody holds it any more."""
    named = request.path_params.get("namespace")
    namespace = str(named) if named else label(request, "namespace", NAMESPACE)
    granted(request, Right.SUBMIT)
    found = await found_job(request)
    if found.job.state.over:
        return as_json(Said(f"Job already {found.job.state.value}"))
    async with hub_of(request).registry.using(found.queue, linger=True) as shell:
        live = await shell.job(found.job.id)
        if live.state.over:
            return as_json(Said(f"Job already {live.state.value}"))
        await ask(lambda reply_to: shell.apply(ev.CancelRequested(live.id, namespace, reply_to)), Cancelled)
    key = str(request.path_params["id"])
    return as_json(Done(success=True, job_id=key, namespace=namespace))
