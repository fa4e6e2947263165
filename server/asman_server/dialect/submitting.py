"""Submissions, from sockets and from REST: read, identified, and put to the queue."""

from __future__ import annotations

from asman_shared import limits
from asman_shared.errors import BadDefinition
from asman_shared.messages import Callback, Callbacks, Submit
from asman_shared.units import parse_duration

from ..queue_shell import Origin, QueueShell
from . import incoming
from .boards import Aliases
from .ids import Identified


def submission(found: Identified, control: incoming.Control | None) -> Submit:
    """The native message that a submission means.

    Raises:
        BadDefinition: The namespace can't be one.
        BadUnit: The longest duration can't be read.
    """
    control = control or incoming.Control()
    namespace = control.namespace or incoming.NAMESPACE
    if len(namespace) > limits.LABEL_LENGTH:
        raise BadDefinition(f"a namespace has at most {limits.LABEL_LENGTH} characters", field="control.namespace")
    limit = control.max_duration
    return Submit(
        ref=0,
        definition=found.definition,
        namespace=namespace,
        time_limit=parse_duration(limit, field="control.maxDuration") if limit else 0,
        follow=False,
        callbacks=_callbacks(control.callbacks),
    )


def _callbacks(wanted: incoming.Callbacks | None) -> Callbacks | None:
    if wanted is None:
        return None
    return Callbacks(queued=_callback(wanted.queued), finished=_callback(wanted.finished))


def _callback(call: incoming.Call | None) -> Callback | None:
    return None if call is None else Callback(url=call.url, payload=call.payload)


async def submit(
    shell: QueueShell,
    aliases: Aliases,
    found: Identified,
    control: incoming.Control | None,
    origin: Origin,
) -> None:
    """Puts a submission to a queue; the answer comes to ``origin`` when it is durable.

    Raises:
        BadRequest: Something in it is wrong.
        Unavailable: The hub can't write now.
    """
    await shell.submit(submission(found, control), origin, alias=found.alias)
    if found.alias:
        aliases.remember(found.alias, found.job)
