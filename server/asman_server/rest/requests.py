"""Shared steps of a queue's endpoints: read the request, find the queue, ask it, and wait."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.types import Receive

from asman_shared import half_characters, limits
from asman_shared.definition import SHA256
from asman_shared.errors import BadRequest, NotFound, TooLarge, Unavailable, cut, misfit, plainly
from asman_shared.messages import Error, JobState, Message
from asman_shared.units import format_duration, format_size, parse_duration

from ..access import Right
from ..awaited import Awaited
from ..bodies import BUFFERED, STREAMED, timely
from ..queues.shell import QueueShell
from ..reply_to import ReplyTo
from .base import hub_of
from .guard import access_of

BODY_BYTES: Final = limits.FRAME_BYTES
"""Largest body of a request, in bytes."""
ANSWER_SECONDS: Final = 30.0
"""Longest time that the queue may take to answer durably, in seconds."""
NAME_SHOWN: Final = 80
"""Most characters of an unknown parameter's name that an error repeats."""
WAIT_LONGEST: Final = 10 * 60_000
"""Longest wait that one request may ask for, in milliseconds."""
WAIT_DEFAULT: Final = 30_000
"""Default wait, in milliseconds."""

_AT_BYTE: Final = re.compile(r"\(byte (\d+)\)$")

T = TypeVar("T")


def granted(request: Request, right: Right) -> str:
    """Returns the queue that a guarded request names, if its key grants the right.

    Raises:
        Forbidden: The key does not grant the right.
    """
    found = access_of(request)
    found.need(right)
    return found.queue


@asynccontextmanager
async def existing(request: Request, right: Right) -> AsyncIterator[QueueShell]:
    """Returns the queue that a request names, if the queue has any job or is in use; never creates a queue.

    Raises:
        NotFound: The queue has no job.
        AsmanError: As `granted`; or the queue can't be loaded.
    """
    name = granted(request, right)
    hub = hub_of(request)
    if name not in hub.registry.queues and not await hub.store.knows(name):
        raise NotFound("this queue has no jobs")
    async with hub.registry.using(name, linger=True) as shell:
        yield shell


def job_of(request: Request) -> str:
    """Returns the job id in a request's path.

    Raises:
        BadRequest: The text is not a job id.
    """
    job_id = str(request.path_params["id"])
    if SHA256.fullmatch(job_id) is None:
        raise BadRequest("a job id is a sha256 in 64 lowercase hex digits", field="id")
    return job_id


async def body_of(request: Request, kind: type[T]) -> T:
    """Reads the JSON body of a request, whatever its content type.

    Raises:
        TooLarge: The body is over `BODY_BYTES`.
        TooSlow: The body stalls or arrives too slowly.
        Unavailable: The bodies of all requests hold too much memory now.
        BadRequest: The body can't be read; the error names the field at fault.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_BYTES:
        raise _too_large(int(announced))
    body = bytearray()
    hub = hub_of(request)
    with hub.bodies.holding(hub.sender(request)) as held:
        async for chunk in timely(request.stream(), BUFFERED):
            held.add(len(chunk))
            body += chunk
            if len(body) > BODY_BYTES:
                raise _too_large(len(body))
        return _decoded(bytes(body), kind)


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        sentence, path = misfit(error)
        raise BadRequest(plainly(sentence), field=path or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        at = half_characters.place(body)
        if at is not None:
            raise BadRequest(half_characters.SAYS, field=at or None) from None
        raise BadRequest(_not_json(error, body)) from None


def _not_json(error: Exception, body: bytes) -> str:
    """Says where a body stops to be JSON."""
    if not body.strip():
        return "the body is empty; it must be JSON"
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    found = _AT_BYTE.search(str(error))
    return (
        f"the body is not JSON: it can't be read from byte {found[1]} on"
        if found
        else ("the body is not JSON: it ends too early")
    )


def streamed(request: Request) -> AsyncIterator[bytes]:
    """Returns the body of a request for a reader that does not keep it in memory; raises `TooSlow` if it stalls."""
    return timely(request.stream(), STREAMED)


def _too_large(size: int) -> TooLarge:
    return TooLarge(
        f"the body has {format_size(size)} or more and may have {format_size(BODY_BYTES)}; "
        "upload large inputs as blobs and name them by key"
    )


def number(request: Request, name: str, default: int, *, least: int = 0, most: int = 2**53 - 1) -> int:
    """Reads a whole number from the query.

    Raises:
        BadRequest: The text is not a whole number, or is out of bounds.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 16 or not least <= int(text) <= most:
        raise BadRequest(f"'{name}' is a whole number from {least} to {most}", field=name)
    return int(text)


def duration(request: Request, name: str, default: int) -> int:
    """Reads a waiting time such as ``30s`` from the query; returns it in milliseconds.

    Raises:
        BadRequest: The time can't be read, or is longer than `WAIT_LONGEST`.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    found = parse_duration(text, field=name)
    if found > WAIT_LONGEST:
        raise BadRequest(f"one request waits for {format_duration(WAIT_LONGEST)} at most; ask again", field=name)
    return found


def label(request: Request, name: str, default: str) -> str:
    """Reads a label, such as a namespace, from the query.

    Raises:
        BadRequest: The label is empty or too long.
    """
    return check_label(request.query_params.get(name, default), name)


def check_label(text: str, name: str) -> str:
    """Returns a label that a request names.

    Raises:
        BadRequest: The label is empty or too long.
    """
    if not 0 < len(text) <= limits.LABEL_LENGTH:
        raise BadRequest(f"'{name}' has 1 to {limits.LABEL_LENGTH} characters", field=name)
    return text


def choices(request: Request, name: str, known: Iterable[str]) -> list[str]:
    """Reads words from the query, repeated or joined by commas.

    Raises:
        BadRequest: A word is not among the known ones.
    """
    by_word = {word.lower(): word for word in known}
    found: list[str] = []
    for text in request.query_params.getlist(name):
        for word in filter(None, text.split(",")):
            if word.lower() not in by_word:
                raise BadRequest(f"'{name}' is one of {', '.join(by_word.values())}", field=name)
            found.append(by_word[word.lower()])
    return found


def check_query(request: Request, known: Mapping[str, bool]) -> None:
    """Checks the names of a query's parameters.

    Args:
        request: The request.
        known: The parameters of its address, each with whether it may be repeated.

    Raises:
        BadRequest: One is unknown, or stands there twice and may not; the error names it.
    """
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    for name in names:
        if name not in known:
            near = get_close_matches(name, sorted(known), 1)
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            hint = f"did you mean '{near[0]}'?" if near else takes
            raise BadRequest(
                cut(f"this address has no parameter '{name[:NAME_SHOWN]}'; {hint}"), field=name[:NAME_SHOWN]
            )
        if not known[name] and names.count(name) > 1:
            raise BadRequest(f"'{name}' stands in the query more than once", field=name)


async def ask(put: Callable[[ReplyTo], Awaitable[Any] | None], reply: type[T]) -> T:
    """Puts a request to a queue and returns its answer, which comes when its content is durable.

    Args:
        put: Hands the request over, with the receiver of the answer.
        reply: The message that answers it.

    Raises:
        AsmanError: The error that the queue answered.
        Unavailable: No answer came in time; the request may or may not have been carried out.
    """
    told: Awaited[Message] = Awaited()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            waiting = put(ReplyTo(0, lambda answer: told.say(_kept(answer))))
            if waiting is not None:
                await waiting
            message = await told
    except TimeoutError:
        raise Unavailable(f"no answer within {ANSWER_SECONDS:g} s; ask again to see whether it was done") from None
    if isinstance(message, Error):
        raise message.error
    if not isinstance(message, reply):
        raise TypeError(f"{type(message).__name__} came where {reply.__name__} was asked for")
    return message


def _kept(message: Message) -> Message:
    """Returns the message with a copy of its job state, because the queue keeps changing the original."""
    job = getattr(message, "job", None)
    return replace(message, job=replace(job)) if isinstance(job, JobState) else message


async def disconnected(receive: Receive) -> None:
    """Waits until the sender of a request has disconnected; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_wanted(
    receive: Receive, closing: asyncio.Event, work: Coroutine[Any, Any, T], seconds: float
) -> T | None:
    """Runs work while its requester waits; the work has ended when this returns.

    Returns:
        The result of the work; None when the time is up, the requester has gone, or the hub is about to close.
    """
    doing = asyncio.ensure_future(work)
    watching = [asyncio.ensure_future(disconnected(receive)), asyncio.ensure_future(closing.wait())]
    try:
        await asyncio.wait([doing, *watching], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, *watching):
            task.cancel()
        await asyncio.gather(doing, *watching, return_exceptions=True)
