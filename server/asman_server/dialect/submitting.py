"""Reads and identifies submissions from sockets and REST, and puts them to the queue."""

from __future__ import annotations

from msgspec.structs import replace

from asman_shared import limits
from asman_shared.definition import SHA256, DataRef, Definition
from asman_shared.errors import BadDefinition
from asman_shared.messages import Callback, Callbacks, Error, Message, Submit

from ..access import Access
from ..blobs.named_files import NamedFiles
from ..hub import Hub
from ..queues.shell import QueueShell
from ..queues.submission import time_limit
from ..reply_to import ReplyTo
from . import incoming
from .ids import Identified, duration
from .queue_views import QueueViews


def native(found: Identified, control: incoming.Control | None) -> Submit:
    """Translates a submission of the dialect to the native message.

    Raises:
        BadDefinition: The namespace is not valid.
        BadUnit: The longest duration can't be read, or is zero.
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
        reuse="any",  # its clients delete a failure before they run the job again
        time_limit=None if limit is None else time_limit(duration(limit), "control.maxDuration"),
        follow=False,
        callbacks=_callbacks(control.callbacks),
    )


def _callbacks(wanted: incoming.Callbacks | None) -> Callbacks | None:
    if wanted is None:
        return None
    return Callbacks(queued=_callback(wanted.queued), finished=_callback(wanted.finished))


def _callback(call: incoming.Call | None) -> Callback | None:
    return None if call is None else Callback(call.url, call.payload, call.whole_queue)


async def submit(
    shell: QueueShell,
    access: Access,
    hub: Hub,
    views: QueueViews,
    found: Identified,
    enqueue: incoming.EnqueueJob,
    reply_to: ReplyTo,
) -> None:
    """Puts a submission to a queue; ``reply_to`` gets the answer once it is durable.

    What it says besides its job is remembered once the queue has taken it: lists show nothing of a refused one.

    Args:
        shell: The queue.
        access: The rights of the key that it came with.
        hub: The hub.
        views: The views of all queues.
        found: Its definition, and the ids of its job.
        enqueue: Its other members.
        reply_to: The receiver of the answer.

    Raises:
        BadRequest: The submission is not valid.
        Forbidden: The key does not grant all that is asked for.
        NotFound: A file that the definition names is not stored.
        QuotaExceeded: The hub takes no new jobs now.
        Unavailable: The hub can't write now.
    """
    message = native(found, enqueue.control)
    message.definition = await _by_sha256(hub.files, found.definition)
    submission = shell.submission(message, access, alias=found.alias, known_id=found.job)
    await views.before(shell, found.job)
    refused = False

    def answered(message: Message) -> None:
        nonlocal refused
        refused = refused or isinstance(message, Error)
        reply_to.say(message)

    waiting = shell.submit(submission, ReplyTo(reply_to.ref, answered))
    if waiting is not None:
        await waiting
    if not refused:  # in the same commit as the job
        views.submitted(shell.name, found, enqueue.debug)


async def _by_sha256(files: NamedFiles, definition: Definition) -> Definition:
    """Returns the definition with the hub's key refs: in the dialect a name may have a suffix, or be a plain file's.

    A plain name is given once and never changes, so it means the same bytes in every run.
    """
    changed: dict[str, dict[str, DataRef]] = {}
    for field in ("inputs", "config_files"):
        refs: dict[str, DataRef] = getattr(definition, field) or {}
        named = {name: ref for name, ref in refs.items() if ref.type == "key" and not _is_sha256(ref.value)}
        if named:
            changed[field] = refs | {
                name: replace(ref, value=await files.sha256(str(ref.value))) for name, ref in named.items()
            }
    return replace(definition, **changed)


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None
