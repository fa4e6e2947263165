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

from ..access import Access, Right
from ..access.shown import shown
from ..access.table import READ, WHOLE
from ..blobs.named_files import blob_named, check_file_name
from ..core import Job
from ..core import events as ev
from ..core.job_state import state_of
from ..hub import LOCAL
from ..rest.base import as_json, blob_response, hub_of, unfinished
from ..rest.guard import access_of, wants_page
from ..rest.hostile import BYTES, elsewhere, file_headers
from ..rest.page import page
from ..rest.requests import ask, body_of, check_label, granted, label
from . import outgoing
from .ids import Identified
from .incoming import NAMESPACE, Copy, EnqueueJob
from .local import MAY_USE_LOCAL
from .outcomes import bytes_of
from .own_files import FILES, hub_address
from .queue_views import QueueViews
from .results import job_with_result, stored_result
from .submitting import submit

NOT_FOUND: Final = "Job not found"


class Found(Struct, frozen=True):
    """The stored job that a request is about, its queue, and the rights of the key that found it."""

    access: Access
    job: Job

    @property
    def queue(self) -> str:
        """The name of the job's queue."""
        return self.access.queue


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
    access = access_of(request) if "queue" in request.path_params else None
    job_id = await id_of(request)
    if access is None and key:
        queues = await hub.store.queues_of(job_id)
        queue = next((each for each in queues if hub.links.opens(key, each, job_id)), None)
        if queue is not None:
            access = Access(queue, WHOLE if hub.links.shows_definition(key, queue, job_id) else READ)
    elif access is None and hub.config.public_job_ids and not hub.config.private_ids:
        found = await hub.store.anywhere(job_id)
        return Found(Access(found[0], WHOLE), found[1]) if found is not None else None
    jobs = await hub.store.jobs(access.queue, [job_id]) if access is not None else []
    if access is None or not jobs:
        return None
    await boards_of(request).known_as(access.queue, job_id, _named(request)[0], hub.registry.queues)
    return Found(access, jobs[0])


async def found_job(request: Request) -> Found:
    """Finds the job that a path names, as `find` does.

    Raises:
        NotFound: There is no such job.
    """
    found = await find(request)
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


async def known_definition(request: Request) -> tuple[str, Definition | None, bool]:
    """The id of the job that a path names, its definition as the key may see it, and whether that is all of it.

    There is no definition if the hub knows none, or may not show it.
    """
    hub, (_, key) = hub_of(request), _named(request)
    job_id = await id_of(request)
    access = Access("", WHOLE)
    if "queue" in request.path_params or key or hub.config.private_ids:
        found = await find(request)
        if found is None:
            return job_id, None, False
        access = found.access
    definition = await hub.store.definition(job_id)
    return job_id, None if definition is None else shown(definition, access), access.sees_definitions


async def definition_of(request: Request) -> tuple[str, Definition, bool]:
    """Finds what `known_definition` does. An id alone is enough, unless the operator forbids it.

    Raises:
        NotFound: There is no such job.
    """
    job_id, definition, whole = await known_definition(request)
    if definition is None:
        raise NotFound(NOT_FOUND)
    return job_id, definition, whole


async def whole_definition(request: Request) -> tuple[str, Definition]:
    """The id and the definition of the job that a path names, for who may see all of it.

    Raises:
        NotFound: There is no such job.
        Forbidden: The address shows only a part of the definition.
    """
    job_id, definition, whole = await definition_of(request)
    if not whole:
        raise Forbidden("this address shows the job's result, and only a part of its definition")
    return job_id, definition


async def job(request: Request) -> Response:
    """Answers browsers with a job's page; other clients with its definition, and its result once it is finished."""
    if wants_page(request):
        return page(request)
    _, definition, _ = await definition_of(request)
    found = await find(request)
    made = outgoing.StoredJob(definition)
    if found is not None and _has_result(found.job):
        made.results = await _with_result(request, found)
    return as_json(Data(made))


async def definition(request: Request) -> Response:
    """The job's definition, or null."""
    _, found, _ = await known_definition(request)
    return as_json(Data(found))


async def result(request: Request) -> Response:
    """The job with its result; null while it is not finished, and if it was cancelled, replaced, deleted or lost."""
    found = await find(request)
    made = await _with_result(request, found) if found is not None and _has_result(found.job) else None
    return as_json(Data(made))


def _has_result(job: Job) -> bool:
    return job.state is State.FINISHED and outgoing.is_listed(state_of(job))


async def _with_result(request: Request, found: Found) -> outgoing.ListedJob:
    sent = boards_of(request).submissions
    await sent.load(found.queue, [found.job.id])
    of_job = sent.of(found.queue, found.job.id)
    return await job_with_result(hub_of(request), found.queue, found.job, of_job, hub_address(request))


async def namespaces(request: Request) -> Response:
    """The namespaces that hold the job; none after it was cancelled in the last one."""
    found = await find(request)
    held = found is not None and outgoing.is_listed(state_of(found.job))
    return as_json(Data(list(found.job.holders) if found is not None and held else []))


async def input_file(request: Request) -> Response:
    """Answers with the bytes of an input of the job, or redirects to them."""
    _, made = await whole_definition(request)
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
    if found.job.state is not State.FINISHED:
        raise NotFound(unfinished(name))  # what an earlier run left is not of this one
    stored = await stored_result(hub, found.queue, found.job)
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


class Place(Struct):
    """The address of a file, and the ref by which a definition names it."""

    url: str
    ref: DataRef


async def upload(request: Request) -> Response:
    """Answers with the address that takes a file by ``PUT``; pages of the first generation ask before they send."""
    name = str(request.path_params["name"])
    if blob_named(name) is None and hub_of(request).config.private_names:
        raise BadRequest(
            "this hub puts a random token before the names of files: PUT the file to /f/<name>, "
            "and use the name in the answer",
            field="name",
        )
    return _place(request, name)


async def download(request: Request) -> Response:
    """Answers with the address of a file; the file need not be there."""
    return _place(request, str(request.path_params["name"]))


def _place(request: Request, name: str) -> Response:
    if blob_named(name) is None:
        check_file_name(name)
    return as_json(Place(f"{hub_address(request)}{FILES}{quote(name)}", DataRef(name, "key")))


async def copy(request: Request) -> Response:
    """Submits the same definition to another queue."""
    body = await body_of(request, Copy)
    guarded = body.queue == LOCAL and hub_of(request).config.local_queue
    if guarded and not request.scope.get(MAY_USE_LOCAL):
        raise Forbidden("the queue 'local' is only for programs on the hub's own machine; use the queue's own name")
    target = await hub_of(request).access(request, hub_of(request).queue_name(body.queue))
    target.need(Right.SUBMIT)
    job_id, made = await whole_definition(request)
    hub, views = hub_of(request), boards_of(request)
    identified = Identified(made, job_id, _named(request)[0])
    enqueue = EnqueueJob(control=body.control)
    async with hub.registry.using(target.queue, linger=True) as shell:
        await ask(lambda reply_to: submit(shell, target, hub, views, identified, enqueue, reply_to), Accepted)
    return as_json(Done(success=True))


async def cancel(request: Request) -> Response:
    """Releases the job from a namespace (``*``: from all); it is stopped when nobody holds it any more.

    A job that the queue does not have is no error: what its client wants is so already.
    """
    named = request.path_params.get("namespace")
    if named is None:
        empty = request.query_params.get("namespace") == ""  # as on a websocket
        namespace = NAMESPACE if empty else label(request, "namespace", NAMESPACE)
    else:
        namespace = check_label(str(named), "namespace")
    granted(request, Right.SUBMIT)
    try:
        found = await found_job(request)
        if found.job.state.over:
            return as_json(Said(f"Job already {found.job.state.value}"))
        async with hub_of(request).registry.using(found.queue, linger=True) as shell:
            live = await shell.job(found.job.id)
            if live.state.over:
                return as_json(Said(f"Job already {live.state.value}"))
            await ask(lambda reply_to: shell.apply(ev.CancelRequested(live.id, namespace, reply_to)), Cancelled)
    except NotFound:
        return as_json(Said(NOT_FOUND))
    key = str(request.path_params["id"])
    return as_json(Done(success=True, job_id=key, namespace=namespace))
