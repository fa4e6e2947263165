"""Shares work between attempts: one pull of an image, or one build, for all that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from ..execution.interface import Reporter

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

News = Callable[[Reporter], None]
"""A call that every waiting reporter receives."""

_HISTORY: Final = 2000


class Audience:
    """The reporters that wait for one piece of work; late ones receive the earlier news too.

    Only the newest two thousand news are kept for late reporters.
    """

    def __init__(self) -> None:
        self._reporters: list[Reporter] = []
        self._said: deque[News] = deque(maxlen=_HISTORY)

    def tell(self, news: News) -> None:
        """Sends news to all reporters, present and future."""
        self._said.append(news)
        for reporter in self._reporters:
            news(reporter)

    def join(self, reporter: Reporter) -> None:
        """Adds a reporter, and replays the earlier news to it."""
        for news in self._said:
            news(reporter)
        self._reporters.append(reporter)

    def leave(self, reporter: Reporter) -> None:
        """Removes a reporter."""
        self._reporters.remove(reporter)

    def __len__(self) -> int:
        return len(self._reporters)


class SharedWork(Generic[K, R]):
    """Runs each piece of work once for all attempts that wait for it.

    Work continues while an attempt waits for it, and is cancelled when the last one leaves. A failure fails all
    waiting attempts; the next request starts the work again.
    """

    def __init__(self) -> None:
        self._running: dict[K, tuple[asyncio.Task[R], Audience]] = {}

    async def join(self, key: K, reporter: Reporter, work: Callable[[Audience], Awaitable[R]]) -> R:
        """Waits for the work that ``key`` names; begins it if it is not running.

        Raises:
            Exception: The error of the work.
        """
        found = self._running.get(key)
        if found is None:
            audience = Audience()
            task = asyncio.create_task(_run(work, audience), name=f"shared {key}")
            self._running[key] = found = (task, audience)
            task.add_done_callback(lambda done: self._ended(key, done))
        task, audience = found
        audience.join(reporter)
        try:
            return await asyncio.shield(task)
        finally:
            audience.leave(reporter)
            if not len(audience) and not task.done():
                # No attempt may join work that is being cancelled.
                self._running.pop(key, None)
                task.cancel()
                with contextlib.suppress(BaseException):
                    await asyncio.wait((task,))

    def _ended(self, key: K, done: asyncio.Task[R]) -> None:
        if (now := self._running.get(key)) is not None and now[0] is done:
            del self._running[key]
        if not done.cancelled():
            done.exception()  # seen by the attempts that still wait


async def _run(work: Callable[[Audience], Awaitable[R]], audience: Audience) -> R:
    return await work(audience)
