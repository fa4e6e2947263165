"""Serves a queue over HTTP, for people without a websocket: submit, list, validate, workers, settings."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from asman_shared import limits
from asman_shared.definition import Definition
from asman_shared.errors import BadRequest
from asman_shared.messages import Accepted, Configured, JobState, Purge, Submit, WorkerPage
from asman_shared.states import State
from asman_shared.units import parse_duration

from ..access import Right
from ..core import events as ev
from ..core.job_state import state_of
from ..hub import Hub
from ..queues.inquiry import validate
from ..queues.purge import check_purge, purge
from ..queues.shell import QueueShell
from ..queues.submission import time_limit
from ..queues.watch import JobWatch
from .base import as_json, hub_of
from .guard import access_of
from .requests import ask, body_of, check_label, choices, duration, existing, granted, number, while_wanted
from .types import (
    DeleteQueueAnswer,
    JobsAnswer,
    PurgeAnswer,
    PurgeBody,
    SettingsAnswer,
    SettingsBody,
    SubmitAnswer,
    SubmitBody,
    Totals,
    ValidateAnswer,
    ValidateBody,
    WorkersAnswer,
)


async def submit(request: Request) -> Response:
    """Runs a job, joins the run that exists, or answers with its result.

    A result answers if it is a success; ``reuse`` says otherwise.

    With ``wait`` the answer comes when the job is finished, or (202) when the given time is up. A key that does not
    read gets neither its result nor the link to it.
    """
    access = access_of(request)
    name, reads = access.queue, Right.READ in access.rights
    hub = hub_of(request)
    wait = duration(request, "wait", 0)
    body = await body_of(request, SubmitBody)
    message = _message(body, hub.config.default_image)
    async with hub.registry.using(name, linger=True) as shell:
        submission = shell.submission(message, access)
        accepted = await ask(lambda reply_to: shell.submit(submission, reply_to), Accepted)
        link = hub.links.path(name, accepted.job.id, whole=access.sees_definitions) if reads else ""
        answer = SubmitAnswer(
            accepted.answer, accepted.job, accepted.able, accepted.why, link=link, earlier=accepted.earlier
        )
        if wait and not answer.job.state.over:
            answer.job = await wait_for(request, shell, answer.job.id, wait)
        if reads and answer.job.state is State.FINISHED:
            answer.result = await shell.result(answer.job.id)
    status = 201 if answer.answer == "queued" else 200
    if wait:
        status = status if answer.job.state.over else 202
    response = as_json(answer, status)
    response.headers["Location"] = f"/q/{quote(request.path_params['queue'])}/jobs/{answer.job.id}"
    return response


def _message(body: SubmitBody, default_image: str) -> Submit:
    return Submit(
        ref=0,
        definition=_imaged(body, default_image),
        id=body.id,
        namespace=body.namespace,
        priority=body.priority,
        reuse=body.reuse,
        time_limit=None if body.time_limit is None else time_limit(body.time_limit, "time_limit"),
        queue_limit=None if body.queue_limit is None else time_limit(body.queue_limit, "queue_limit"),
        phase_limits={phase: time_limit(given, f"phase_limits.{phase}") for phase, given in body.phase_limits.items()},
        max_attempts=body.max_attempts,
        callbacks=body.callbacks,
        follow=False,
    )


def _imaged(body: SubmitBody, default_image: str) -> Definition:
    """Returns the definition, with the hub's default image if it names none, as a client would fill it in."""
    definition = body.definition
    if definition.image is None and definition.build is None and body.id is None:
        definition.image = default_image or None
    return definition


async def wait_for(request: Request, shell: QueueShell, job_id: str, wait: int) -> JobState:
    """Waits until a job is over, ``wait`` milliseconds have passed or the requester has gone; returns its state.

    Raises:
        NotFound: The queue has no such job.
    """
    async with JobWatch(shell, job_id) as watch:
        await while_wanted(request.receive, hub_of(request).closing, watch.over(), wait / 1000)
        return watch.state


async def list_jobs(request: Request) -> Response:
    """Returns a page of the queue's jobs, newest first."""
    name = granted(request, Right.READ)
    states = [State(word) for word in choices(request, "state", (state.value for state in State))]
    limit = number(request, "limit", 100, least=1, most=limits.LIST_PAGE)
    before = number(request, "before", 0) if "before" in request.query_params else None
    hub = hub_of(request)
    found = await hub.store.page(name, states, before, limit)
    following = found[-1].number if len(found) == limit else None
    return as_json(JobsAnswer([state_of(job) for job in found], await totals(hub, name), following))


async def validate_definition(request: Request) -> Response:
    """Checks a definition, and tells what would happen if it were submitted; nothing is queued."""
    name = granted(request, Right.SUBMIT)
    body = await body_of(request, ValidateBody)
    hub = hub_of(request)
    async with hub.registry.using(name, linger=True) as shell:
        found = await validate(shell, hub.blobs, body.definition)
    return as_json(
        ValidateAnswer(
            id=found.id,
            ok=found.ok,
            problems=found.problems,
            missing_blobs=found.missing_blobs,
            able=found.able,
            why=found.why,
            known=found.known,
        )
    )


async def workers(request: Request) -> Response:
    """Returns the queue's workers."""
    name = granted(request, Right.READ)
    shell = hub_of(request).registry.queues.get(name)
    return as_json(WorkersAnswer(shell.workers() if shell is not None else []))


async def settings(request: Request) -> Response:
    """Returns the queue's settings: the time for which it keeps its finished jobs, and whether it is paused."""
    async with hub_of(request).registry.using(granted(request, Right.READ)) as shell:
        found = shell.configured(0)
    return as_json(SettingsAnswer(found.retention, found.own, found.paused))


async def configure(request: Request) -> Response:
    """Sets the time for which the queue keeps its finished jobs, including those that it already has, or pauses it."""
    name = granted(request, Right.OWN)
    body = await body_of(request, SettingsBody)
    given = body.retention
    if given is None and body.paused is None:
        raise BadRequest("nothing is to be set: give retention, paused or both", field="retention")
    retention = parse_duration(given, field="retention", least=1) if isinstance(given, str) else given
    async with hub_of(request).registry.using(name) as shell:
        shell.begin_use(access_of(request))
        found = await ask(lambda reply_to: shell.configure(retention, reply_to, body.paused), Configured)
    return as_json(SettingsAnswer(found.retention, found.own, found.paused))


async def purge_jobs(request: Request) -> Response:
    """Removes finished or waiting jobs with their results and logs, up to some thousands in one request."""
    body = await body_of(request, PurgeBody)
    given = body.older_than
    older = parse_duration(given, field="older_than") if isinstance(given, str) else given
    wanted = Purge(0, body.states, body.reasons, older)
    check_purge(wanted)
    async with existing(request, Right.OWN) as shell:
        found = await purge(shell, wanted)
    return as_json(PurgeAnswer(found.count, found.more))


async def delete_queue(request: Request) -> Response:
    """Deletes the queue with its jobs, results, logs, settings and keys, and stops what runs.

    Its websockets are closed with 4012. A later use of the same name begins another queue.
    """
    async with hub_of(request).registry.using(granted(request, Right.OWN)) as shell:
        found = await shell.delete(None)
    return as_json(DeleteQueueAnswer(found.jobs, found.workers))


async def drain_worker(request: Request) -> Response:
    """Drains the workers with an id or a name: they get no more jobs, and leave when they have none.

    With ``undo=1``, those that are still here take jobs again.
    """
    undo = bool(number(request, "undo", 0, most=1))
    worker = check_label(str(request.path_params["worker"]), "worker")
    async with existing(request, Right.OWN) as shell:
        found = await ask(lambda reply_to: shell.apply(ev.DismissRequested(worker, undo, reply_to)), WorkerPage)
    return as_json(WorkersAnswer(found.workers))


async def totals(hub: Hub, name: str) -> Totals:
    """Returns the number of jobs in each state, from memory, or from the store if the queue is not in memory."""
    shell = hub.registry.queues.get(name)
    counts = shell.counts() if shell is not None else await hub.store.counts(name)
    return Totals(counts.queued, counts.running, counts.finished, counts.workers)
