"""The tool `submit`: makes a definition of its arguments, and runs it."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from asman_shared import half_characters
from asman_shared.definition import Build, DataRef, Definition, Requirements
from asman_shared.definition_check import base64_bytes
from asman_shared.errors import BadDefinition
from asman_shared.messages import Accepted, Submit
from asman_shared.states import State

from ..access import Right
from ..queues.shell import QueueShell
from ..rest.given_files import refs_of
from ..rest.requests import ask
from . import answers
from .arguments import SubmitArguments
from .context import Context
from .tasks import task_of

V = TypeVar("V")


async def submit(context: Context, arguments: SubmitArguments) -> dict[str, Any]:
    """Runs a job, joins the run that exists, or answers with the cached result.

    Returns:
        The answer about the job, or the task that it is, for a client that understands tasks. A key that may not read
        gets neither the id of a task nor the job's address, since both open its log and files.

    Raises:
        Forbidden: The key may not submit.
        BadRequest: An argument is wrong.
        AsmanError: The queue can't take the job now.
    """
    context.access.need(Right.SUBMIT)
    wait = arguments.wait
    async with context.hub.registry.using(context.access.queue, linger=True) as shell:
        accepted = await _accepted(context, shell, arguments)
        del arguments  # megabytes, maybe, which a long wait must not hold
        state = accepted.job
        reads = Right.READ in context.access.rights
        if not state.state.over and wait:
            if context.call.tasks and reads:
                return task_of(context, shell, state)
            state = await context.over(shell, state.id, wait)
        if state.state is State.REMOVED:
            raise BadDefinition("the job was deleted meanwhile; submit it again")
        if not reads:
            return answers.brief(state, accepted.answer)
        return await answers.about(context, shell, state, accepted.answer)


async def _accepted(context: Context, shell: QueueShell, given: SubmitArguments) -> Accepted:
    definition = await _definition(context, given)
    message = Submit(ref=0, definition=definition, priority=given.priority, reuse=given.reuse, follow=False)
    submission = shell.submission(message, context.access)
    return await ask(lambda reply_to: shell.submit(submission, reply_to), Accepted)


async def _definition(context: Context, given: SubmitArguments) -> Definition:
    if given.dockerfile is not UNSET and not given.dockerfile.strip():
        raise BadDefinition("the text of the Dockerfile is empty: it begins with FROM", field="dockerfile")
    if given.dockerfile is UNSET and given.image is UNSET and _is_blank(given.command):
        raise BadDefinition(
            "there is nothing to run: name an image, such as alpine or python:3.12-slim, or give the text of a "
            "dockerfile, and a command",
            field="image",
        )
    build = Build(dockerfile=given.dockerfile) if given.dockerfile is not UNSET else None
    needs = Requirements(cpus=_or_none(given.cpus), gpus=_or_none(given.gpus), memory=_or_none(given.memory))
    image = _or_none(given.image)
    if image is None and build is None:
        image = context.hub.config.default_image or None
    return Definition(
        image=image,
        build=build,
        command=given.command if isinstance(given.command, str | list) else None,
        env=_or_none(given.env),
        workdir=_or_none(given.workdir),
        inputs=await _inputs(context, given),
        outputs=_or_none(given.outputs),
        max_duration=_or_none(given.max_duration),
        tags=_or_none(given.tags),
        requirements=needs if needs != Requirements() else None,
    )


async def _inputs(context: Context, given: SubmitArguments) -> dict[str, DataRef] | None:
    """Returns the input files: small ones within the definition, in any order the same as other clients do it."""
    if given.files is UNSET or not given.files:
        return None
    read: dict[str, bytes] = {}
    for name in sorted(given.files):
        file = given.files[name]
        field = f"files.{name[:80]}"
        read[name] = _utf8(file, field) if isinstance(file, str) else base64_bytes(file.base64, f"{field}.base64")
    return await refs_of(context.hub, read, context.access)


def _is_blank(command: list[str] | str | UnsetType) -> bool:
    return not command.strip() if isinstance(command, str) else not command


def _utf8(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadDefinition(half_characters.SAYS, field=field) from None


def _or_none(value: V | UnsetType) -> V | None:
    return None if isinstance(value, UnsetType) else value
