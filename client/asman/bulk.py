"""Thousands of jobs through one connection, with memory for a few of them.

A *window* bounds how many are on their way at any time. What comes first is given first, so that a reader that stops
to think holds the rest back, and a source that can be iterated once (a generator, lines of a file) is read no further
than the window.
"""

from __future__ import annotations

import asyncio
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
from contextlib import aclosing
from itertools import count, islice
from typing import Any, Final, TypeVar

from asman_shared.backoff import Backoff
from asman_shared.definition import Definition
from asman_shared.errors import AsmanError, BadRequest, Unavailable

T = TypeVar("T")
R = TypeVar("R")

Item = Definition | Mapping[str, Any]
"""One of many jobs: a whole definition, or what `Queue.submit` would be told by keyword."""
Items = Iterable[Item] | AsyncIterable[Item]

WINDOW: Final = 1000
"""Jobs on their way at a time, unless said otherwise."""
MOST: Final = 100_000
"""The largest window."""
HOP_ITEMS: Final = 200
"""Most items that are taken of a source in another thread before they are looked at here."""
HOP_SECONDS: Final = 0.02
"""How long they may be collected."""


async def stream(
    start: Callable[[T], Coroutine[Any, Any, R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    window: int,
    ordered: bool,
) -> AsyncGenerator[R, None]:
    """What ``start`` gives for each item, with at most ``window`` of them begun and not yet given out.

    Args:
        start: Begins one and ends with what is given out.
        items: Read as there is room.
        window: From 1 on.
        ordered: In the order of the items, instead of as they end.

    Raises:
        BadRequest: The window can't be that large or small.
        AsmanError: What ``start`` raises first; a note says which item it was. What was begun is given up: nothing
            waits for it any more.
        Exception: What reading the items raises, after all that was begun before is given out.
    """
    if not 1 <= window <= MOST:
        raise BadRequest(f"a window is from 1 to {MOST:,}, not {window}", field="window")
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
                if ordered:
                    out.put_nowait(task)
                else:
                    task.add_done_callback(out.put_nowait)

    feeder = asyncio.create_task(feed())
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
        for each in left:
            if not each.cancelled():
                each.exception()  # seen, though nobody asks any more


async def _one(start: Callable[[T], Coroutine[Any, Any, R]], index: int, item: T) -> R:
    try:
        return await start(item)
    except AsmanError as error:
        error.add_note(f"this was item {index} of those given (the first is 0)")
        raise


async def _each(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    for item in items:
        yield item


async def from_thread(items: Iterable[T]) -> AsyncIterator[T]:
    """The items of a source that may block or take its time: it is iterated in a thread, several at a time."""
    source = iter(items)
    while True:
        batch, over, error = await asyncio.to_thread(_some, source)
        for item in batch:
            yield item
        if error is not None:
            raise error
        if over:
            return


def _some(source: Iterator[T]) -> tuple[list[T], bool, Exception | None]:
    """The next few items, whether the source is at its end, and what it raised behind them."""
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


async def patiently(attempt: Callable[[], Awaitable[R]], patience: float | None) -> R:
    """Tries again while the hub answers that it can't now, so that a full hub slows a stream and does not end it.

    Args:
        attempt: May be made any number of times.
        patience: Seconds; None for as long as it takes.

    Raises:
        Unavailable: The hub still can't after so long.
        AsmanError: Anything else, at once.
    """
    begun = time.monotonic()
    backoff = Backoff()
    while True:
        try:
            return await attempt()
        except Unavailable:
            if patience is not None and time.monotonic() - begun > patience:
                raise
        await asyncio.sleep(backoff.next())
