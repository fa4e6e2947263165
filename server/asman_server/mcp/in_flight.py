"""Knows the calls that are being answered, and bounds those that wait for a job."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from asman_shared.errors import Overloaded

from .protocol import Id

WAITS: Final = 2000
"""Largest number of calls of a hub that wait for jobs at a time."""
WAITS_OF_QUEUE: Final = 100
"""Largest number of calls on one queue that wait for jobs at a time."""

Key = tuple[str, str, type[Any], Id]
"""A call of the older era: its queue (empty if its arguments named it), its session, and its id with the type, since
``1`` is not ``"1"``."""


class InFlight:
    """The calls that one hub is answering.

    Attributes:
        waiting: Number of calls that wait for a job, by queue.
    """

    def __init__(self) -> None:
        self.waiting: Counter[str] = Counter()
        self._calls: dict[Key, asyncio.Task[Any]] = {}

    @contextmanager
    def waits(self, queue: str, job: str) -> Iterator[None]:
        """Counts a call that waits for a job, until the end of the block.

        Raises:
            Overloaded: Too many calls wait.
        """
        if self.waiting[queue] >= WAITS_OF_QUEUE or self.waiting.total() >= WAITS:
            raise Overloaded(
                f"at most {WAITS_OF_QUEUE} calls of a queue, and {WAITS} of this hub, wait for jobs at a time; the job "
                f"{job} goes on: ask for its status, or wait again later"
            )
        self.waiting[queue] += 1
        try:
            yield
        finally:
            self.waiting[queue] -= 1
            if not self.waiting[queue]:
                del self.waiting[queue]

    @contextmanager
    def known(self, key: Key | None, task: asyncio.Task[Any]) -> Iterator[None]:
        """Lets `cancel` find a call, until the end of the block; a later call of the same id takes its place."""
        if key is not None:
            self._calls[key] = task
        try:
            yield
        finally:
            if key is not None and self._calls.get(key) is task:
                del self._calls[key]

    def cancel(self, key: Key) -> None:
        """Ends a call without an answer; a call that is not known may have been answered."""
        task = self._calls.get(key)
        if task is not None:
            task.cancel()


def key_of(queue: str, session: str, call_id: object) -> Key | None:
    """Returns the key of a call; None if it can't be cancelled by a message.

    Without a session the ids of strangers, who count from one, would be the same.
    """
    if not session or not isinstance(call_id, int | str):
        return None
    return queue, session, type(call_id), call_id
