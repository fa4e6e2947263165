"""Streams of thousands of jobs through one connection, with memory for a few of them.

A *window* limits the number of jobs in flight. A job keeps its place in the window until its result is read, so that a
slow reader slows the stream down, and a source (a generator, lines of a file) is read no further than the window.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from concurrent.futures import Future
from contextlib import aclosing
from contextvars import copy_context
from itertools import count, islice
from typing import Any, Final, TypeVar

from asman_shared.definition import Definition
from asman_shared.errors import AsmanError, BadRequest, Unavailable, cut
from asman_shared.running.backoff import Backoff

from .arguments import kind_of, whole, wrong
from .definitions import Defined, definition_of

T = TypeVar("T")
R = TypeVar("R")

Item = Definition | Mapping[str, Any] | Defined
"""One of many jobs: a complete definition, a job whose definition is taken, or a mapping of keyword arguments of
`Queue.submit`."""
Items = Iterable[Item] | AsyncIterable[Item]

WINDOW: Final = 1000
"""Default number of jobs in flight."""
MAX_WINDOW: Final = 100_000
"""Largest window."""
HOP_ITEMS: Final = 200
"""Maximum number of items that one visit to a thread reads from a source."""
HOP_SECONDS: Final = 0.02
"""Time after which a visit to a thread reads no further item, in seconds."""


async def stream(
    start: Callable[[T], Coroutine[Any, Any, R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    window: int,
    ordered: bool,
) -> AsyncGenerator[R, None]:
    """Yields the result of ``start`` for each item, with at most ``window`` items started and not yet yielded.

    Args:
        start: Processes one item; its result is yielded.
        items: The source, read as the window allows.
        window: From 1 to `MAX_WINDOW`.
        ordered: Yield in the order of the items instead of the order of completion.

    Raises:
        BadRequest: The window is too small or too large, or the source is one item and no list of them.
        AsmanError: The first error of ``start``, with a note that names the item. The other started items are
            cancelled.
        Exception: The error of reading the items, after the results of all items that were started before.
    """
    whole("window", window, least=1, most=MAX_WINDOW)
    check_source(items)
    places = asyncio.Semaphore(window)
    out: asyncio.Queue[asyncio.Task[R] | None] = asyncio.Queue()
    under_way: set[asyncio.Task[R]] = set()

    async def feed() -> None:
        async with aclosing(_each(items)) as source:
            for index in count():
                await places.acquire()
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    return
                task = asyncio.create_task(_one(start, index, item))
                under_way.add(task)
                task.add_done_callback(_seen)
                if ordered:
                    out.put_nowait(task)
                else:
                    task.add_done_callback(out.put_nowait)

    feeder = asyncio.create_task(feed())
    feeder.add_done_callback(_seen)
    feeder.add_done_callback(lambda _: out.put_nowait(None))
    try:
        while not (feeder.done() and not under_way):
            task = await out.get()
            if task is not None:
                found = await task
                under_way.discard(task)
                places.release()
                yield found
        await feeder
    finally:
        left = {feeder, *under_way}
        for each in left:
            each.cancel()
        await asyncio.wait(left)


def _seen(task: asyncio.Task[Any]) -> None:
    """Looks at the error of a task, so that asyncio does not log it where nobody reads on."""
    if not task.cancelled():
        task.exception()


def check_source(items: object) -> None:
    """Checks that something is a source of items, and not one item.

    Raises:
        BadRequest: It can't be read item by item.
    """
    one = isinstance(items, str | bytes | bytearray | Mapping) or definition_of(items) is not items
    if one or not isinstance(items, Iterable | AsyncIterable):
        raise wrong("items", items, 'a list of items, such as [{"command": "echo hi"}]')


def fields_of(item: object) -> dict[str, Any]:
    """Returns the keyword arguments of `Queue.submit` that an item stands for.

    Raises:
        BadRequest: The item is nothing that can be submitted.
    """
    if isinstance(item, Mapping):
        return dict(item)
    definition = definition_of(item)
    if not isinstance(definition, Definition):
        says = f'pass {{"command": {item!r}}}' if isinstance(item, str) else "pass a mapping of arguments of submit"
        raise BadRequest(cut(f"an item is {kind_of(item)}; {says}"), field="items")
    return {"definition": definition}


async def _one(start: Callable[[T], Coroutine[Any, Any, R]], index: int, item: T) -> R:
    try:
        return await start(item)
    except AsmanError as error:
        error.add_note(f"at item {index} (the first is item 0)")
        raise


async def _each(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    for item in items:
        yield item


async def from_thread(items: Iterable[T]) -> AsyncIterator[T]:
    """Iterates over a source that may block or be slow: a thread reads it, several items at a time.

    It is a daemon thread, so that neither the end of the program nor that of the loop waits for a source that blocks.
    """
    check_source(items)
    source = iter(items)
    while True:
        batch, over, error = await _in_daemon_thread(lambda: _next_batch(source))
        for item in batch:
            yield item
        if error is not None:
            raise error
        if over:
            return


async def _in_daemon_thread(work: Callable[[], R]) -> R:
    done: Future[R] = Future()
    done.set_running_or_notify_cancel()
    context = copy_context()

    def run() -> None:
        try:
            done.set_result(context.run(work))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="asman source", daemon=True).start()
    return await asyncio.wrap_future(done)


def _next_batch(source: Iterator[T]) -> tuple[list[T], bool, Exception | None]:
    """Returns the next few items, whether the source is exhausted, and the error that it raised after them."""
    until = time.monotonic() + HOP_SECONDS
    batch: list[T] = []
    try:
        for item in islice(source, HOP_ITEMS):
            batch.append(item)
            if time.monotonic() > until:
                return batch, False, None
    except Exception as error:
        return batch, True, error
    return batch, len(batch) < HOP_ITEMS, None


async def retry_while_unavailable(attempt: Callable[[], Awaitable[R]], time_limit: float | None) -> R:
    """Retries a request while the hub answers `Unavailable`, so that a full hub slows a stream without ending it.

    Args:
        attempt: Makes the request; called once for each try.
        time_limit: In seconds; None for no limit.

    Raises:
        Unavailable: The hub is still unavailable after ``time_limit``.
        AsmanError: Any other error, at once.
    """
    begun = time.monotonic()
    backoff = Backoff()
    while True:
        try:
            return await attempt()
        except Unavailable:
            if time_limit is not None and time.monotonic() - begun > time_limit:
                raise
        await asyncio.sleep(backoff.next())
