"""The addresses of tasks: create, get, list and cancel them."""

from __future__ import annotations

import hashlib
from typing import Any, Final, cast, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from asman_shared import limits
from asman_shared.definition import SHA256
from asman_shared.errors import AsmanError, BadRequest, NotFound
from asman_shared.messages import Accepted, Callback, Callbacks, Cancelled, Submit
from asman_shared.states import State
from asman_shared.units import MIB

from ..access import Access, Right
from ..core import Job
from ..core import events as ev
from ..core.job_state import state_of
from ..front import address_of, sender
from ..hub import Hub
from ..rest.base import Endpoint, as_json, hub_of, with_headers_of
from ..rest.guard import access_of
from ..rest.requests import ask, body_of, existing, granted, number
from .fields import member_of
from .note_cache import NoteCache
from .notes import NOTED_PAGE, created_before, note_of, noted
from .reach import Reach
from .repeats import Repeats
from .states import ASKED, matches, task_state
from .task import NAME_LENGTH, Task, read, sent
from .translation import REUSE, check_blobs, definition_of, reuse_of, shown_again
from .types import CreatedTask, Nothing, TaskPage, TesProblem
from .views import Shown, View, minimal

PAGE: Final = 256
"""Number of tasks in a page, unless a client asks for another."""
PAGE_MOST: Final = 2047
"""Largest number of tasks in a page that TES lets a client ask for; a page may have fewer."""
PAGE_FULL: Final = 50
"""Largest number of tasks in a page of full tasks, each of which reads a log."""
PAGE_BYTES: Final = 4 * MIB
"""Size of the notes of a page, in bytes, at which it ends."""
ANSWER_BYTES: Final = 16 * MIB
"""Size of the tasks of a page, contents of inputs and logs included, in bytes, at which it ends."""
SCANNED: Final = 2000
"""Largest number of jobs that one list looks at."""
FILTER_TAGS: Final = 20
"""Most tags that a list may be asked for."""
_CALLED: Final = "callback_url"
BUSY: Final = 429
"""Status for all that may be tried again. At 503 clients go on to their next address, and show its 404."""


def answers(endpoint: Endpoint) -> Endpoint:
    """Wraps an endpoint: its errors get the form that clients show."""

    async def answering(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AsmanError as error:
            return problem(error)

    answering.__doc__ = endpoint.__doc__
    return answering


def problem(error: AsmanError) -> Response:
    """Returns an error as clients show it."""
    status = BUSY if error.retry and error.status >= 500 else error.status
    field = f" ({error.field})" if error.field else ""
    return with_headers_of(error, as_json(TesProblem(f"{error.message}{field}", status, error.code), status))


async def create(request: Request) -> Response:
    """Creates a task, which is a job of the queue, and returns its id.

    The same body at the other address of the queue, within a minute, is the same task, also after a restart of the hub.
    """
    access = access_of(request)
    queue = access.queue
    body = sent(await body_of(request, Any))
    task = read(body)  # what can't be a task is refused each time
    client = sender(request)
    key = (queue, client, hashlib.sha256(msgspec.json.encode(body, order="sorted")).digest())
    repeats: Repeats = request.app.state.tes
    hub = hub_of(request)
    prefix = prefix_of(request)
    note = note_of(shown_again(body), key, prefix)
    notes = notes_of(request)
    try:
        task_id = await repeats.created(
            key, prefix, lambda: _created(hub, notes, access, task, note), lambda: created_before(hub, queue)
        )
    except AsmanError as error:
        error.field = error.field and member_of(error.field, task)
        raise
    return as_json(CreatedTask(task_id))


def notes_of(request: Request) -> NoteCache:
    """Returns the notes of tasks that the hub keeps in memory."""
    notes: NoteCache = request.app.state.tes_notes
    return notes


async def _created(hub: Hub, notes: NoteCache, access: Access, task: Task, note: bytes) -> str:
    called = Callbacks(finished=Callback(task.callback_url)) if task.callback_url else None
    reuse = reuse_of(task)
    if called is not None and reuse != "never":
        raise BadRequest(
            f"a task with the tag '{REUSE}' has no {_CALLED}, since it may be answered by a result", field=_CALLED
        )
    await check_blobs(hub, task.inputs)
    async with hub.registry.using(access.queue, linger=True) as shell:
        definition = await definition_of(hub, task, Reach.of(shell), access)
        message = Submit(ref=0, definition=definition, reuse=reuse, follow=False, callbacks=called)
        submission = shell.submission(message, access)
        submission.note = note
        accepted = await ask(lambda reply_to: shell.submit(submission, reply_to), Accepted)
    notes.replaced(access.queue, accepted.job.id)
    return accepted.job.id


def prefix_of(request: Request) -> str:
    """Returns the address of the door in a request: both lead to the same tasks."""
    return "/v1" if request.url.path.removeprefix("/q/").partition("/")[2].startswith("v1/") else "/ga4gh/tes/v1"


async def get(request: Request) -> Response:
    """Returns a task: MINIMAL is its state, BASIC all but logs' texts and inputs' contents, FULL everything."""
    view = _view(request)
    async with existing(request, Right.READ) as shell:
        job = await shell.job(_task_of(request))
        state = await shell.durable(job)
        if state.state is State.REMOVED:
            raise NotFound("this task was deleted")
        if view == "MINIMAL":
            return as_json(minimal(state))
        hub = hub_of(request)
        note = await notes_of(request).note(shell.name, job)
        return as_json(await Shown(hub, shell, base_of(request), access_of(request)).task(job, state, note, view))


async def cancel(request: Request) -> Response:
    """Cancels a task; one that has ended stays as it is."""
    async with existing(request, Right.SUBMIT) as shell:
        job = await shell.job(_task_of(request))
        await ask(lambda reply_to: shell.apply(ev.CancelRequested(job.id, "_", reply_to)), Cancelled)
    return as_json(Nothing())


async def listed(request: Request) -> Response:
    """Returns a page of the tasks that were created here, the newest first.

    A page may have fewer tasks than it could, or none; the last one has no token.
    """
    queue = granted(request, Right.READ)
    view = _view(request)
    most = number(request, "page_size", PAGE, least=0, most=PAGE_MOST) or PAGE
    before = number(request, "page_token", 0) if request.query_params.get("page_token") else None
    wanted = _Wanted(request)
    hub = hub_of(request)
    most = min(most, PAGE_FULL if view == "FULL" else limits.LIST_PAGE)
    found: list[tuple[Job, bytes]] = []
    scanned = held = 0
    while len(found) < most and scanned < SCANNED and held < PAGE_BYTES:
        part = await hub.store.noted_page(queue, before, NOTED_PAGE)
        scanned += len(part)
        for job, note in part:
            before = job.number
            if wanted.has(job, note):
                found.append((job, note if view != "MINIMAL" else b""))
                held += len(found[-1][1])
                if len(found) == most or held >= PAGE_BYTES:
                    break
        else:
            if len(part) < NOTED_PAGE:
                before = None
                break
    token = str(before) if before is not None else ""
    if view == "MINIMAL" or not found:
        return as_json(TaskPage([minimal(state_of(job)) for job, _ in found], token))
    async with hub.registry.using(queue, linger=True) as shell:
        shown = Shown(hub, shell, base_of(request), access_of(request))
        tasks: list[dict[str, Any]] = []
        size = 0
        for job, note in found:
            tasks.append(await shown.task(job, state_of(job), note, view))
            size += len(msgspec.json.encode(tasks[-1])) if view == "FULL" else 0  # the others have notes alone
            if size >= ANSWER_BYTES and len(tasks) < len(found):
                token = str(job.number)
                break
    return as_json(TaskPage(tasks, token))


class _Wanted:
    """The filters of a list.

    Raises:
        BadRequest: One can't be used.
        Forbidden: It asks for a name or tags, which the key of the request does not show.
    """

    def __init__(self, request: Request) -> None:
        query = request.query_params
        self._state = query.get("state", "").upper()
        if self._state and self._state not in ASKED:
            raise BadRequest(f"'state' is one of {', '.join(ASKED)}", field="state")
        self._prefix = query.get("name_prefix", "")
        keys, values = query.getlist("tag_key"), query.getlist("tag_value")
        if len(keys) > FILTER_TAGS:
            raise BadRequest(f"at most {FILTER_TAGS} tags", field="tag_key")
        for name, texts in (("name_prefix", [self._prefix]), ("tag_key", keys), ("tag_value", values)):
            if any(len(text) > NAME_LENGTH for text in texts):
                raise BadRequest(f"'{name}' has at most {NAME_LENGTH} characters", field=name)
        if len(values) > len(keys):
            raise BadRequest("there are more values than tags: name the tag of each with 'tag_key'", field="tag_value")
        self._tags = dict(zip(keys, [*values, *[""] * len(keys)], strict=False))
        if self._prefix or self._tags:
            access_of(request).need(Right.SUBMIT)  # names and tags are shown with definitions

    def has(self, job: Job, note: bytes) -> bool:
        """Whether a task is among those that are asked for."""
        if self._state and not matches(task_state(job.state, job.phase, job.verdict), self._state):
            return False
        if not self._prefix and not self._tags:
            return True
        task = noted(note)
        if not task.get("name", "").startswith(self._prefix):
            return False
        tags = task.get("tags", {})
        return all(key in tags and (not value or tags[key] == value) for key, value in self._tags.items())


def base_of(request: Request) -> str:
    """Returns the hub's address, as others reach it."""
    return address_of(request, hub_of(request).config.public_url)


def _view(request: Request) -> View:
    view = (request.query_params.get("view") or "MINIMAL").upper()
    if view not in get_args(View):
        raise BadRequest("'view' is MINIMAL, BASIC or FULL", field="view")
    return cast(View, view)


def _task_of(request: Request) -> str:
    task = str(request.path_params["id"])
    if SHA256.fullmatch(task) is None:
        raise NotFound(f"there is no task '{task[:80]}'")
    return task
