"""Recognises a task that a client creates again at the other address, because the first answer took too long.

Such clients (py-tes 1.1.4) have a list of addresses, and send the same body to the next one when an answer does not
come in time. Without this there would be two tasks, and nobody would know the first.

The hub may be killed between the two. So the notes of tasks have what is needed, and a hub that has just started reads
those of the last minute before the first create in a queue.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

REMEMBERED_SECONDS: Final = 60.0
"""Time for which a task is remembered, in seconds."""
REMEMBERED: Final = 10_000
"""Largest number of tasks that are remembered; the oldest are forgotten first."""

Key = tuple[str, str, bytes]
"""The queue, the address of the client's machine, and a hash of the body."""

Earlier = dict[bytes, tuple[str, str]]
"""Ids of tasks of an earlier hub, and the addresses that they were created at, by `digest_of` their keys."""


def digest_of(key: Key) -> bytes:
    """Returns what the note of a task has of its key."""
    _, client, body = key
    return hashlib.sha256(client.encode("utf-8", "surrogatepass") + b"\0" + body).digest()


class _Creation:
    """A task that was or is being created, and the addresses that it was sent to."""

    def __init__(self, task: asyncio.Task[str | Exception], prefixes: set[str], at: float) -> None:
        self.task = task
        self.prefixes = prefixes
        self.at = at


class Repeats:
    """The tasks of the last minute.

    Args:
        clock: Returns the time in seconds; it never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._earlier: dict[str, asyncio.Task[Earlier]] = {}
        self._known: OrderedDict[Key, _Creation] = OrderedDict()

    async def created(
        self,
        key: Key,
        prefix: str,
        create: Callable[[], Coroutine[Any, Any, str]],
        earlier: Callable[[], Coroutine[Any, Any, Earlier]],
    ) -> str:
        """Creates a task, or returns the one that the same body has created at another address.

        The creation goes on when its client leaves: the client comes back at the other address.

        Args:
            key: What a repetition has in common with the first request.
            prefix: The address.
            create: Creates the task and returns its id.
            earlier: Reads the tasks that the hub before this one has created in the queue in the last minute.

        Raises:
            Exception: The error of ``create``; what has failed is not remembered.
        """
        self._forget()
        known = self._known.get(key)
        if known is not None and prefix not in known.prefixes and not known.task.cancelled():
            known.prefixes.add(prefix)
        else:
            prefixes = {prefix}
            task = asyncio.ensure_future(_tried(partial(self._made, key, prefixes, create, earlier)))
            known = _Creation(task, prefixes, self._clock())
            del task
            self._known[key] = known
            self._known.move_to_end(key)
        found = await asyncio.shield(known.task)
        if isinstance(found, str):
            return found
        if self._known.get(key) is known:
            del self._known[key]
        try:
            raise found
        finally:
            del found, known, create  # the error refers to this frame, and the frame to the body of the request

    def queue_deleted(self, queue: str) -> None:
        """Forgets the tasks of a queue: its name is another queue's from now on."""
        self._earlier.pop(queue, None)
        for key in [key for key in self._known if key[0] == queue]:
            del self._known[key]

    async def _made(
        self,
        key: Key,
        prefixes: set[str],
        create: Callable[[], Coroutine[Any, Any, str]],
        earlier: Callable[[], Coroutine[Any, Any, Earlier]],
    ) -> str:
        return await self._recalled(key, prefixes, earlier) or await create()

    async def _recalled(self, key: Key, prefixes: set[str], earlier: Callable[[], Coroutine[Any, Any, Earlier]]) -> str:
        """Returns the task of an earlier hub that a create repeats, once, and adds its address; empty for none."""
        if self._clock() - self._began >= REMEMBERED_SECONDS:
            self._earlier.clear()
            return ""
        reading = self._earlier.get(key[0])
        if reading is None:
            reading = self._earlier[key[0]] = asyncio.ensure_future(earlier())
        try:
            known = await asyncio.shield(reading)
        except Exception:
            if self._earlier.get(key[0]) is reading:
                del self._earlier[key[0]]  # the next create reads again
            raise
        task, at = known.get(digest_of(key), ("", ""))
        if not task or at in prefixes:
            return ""
        del known[digest_of(key)]
        prefixes.add(at)
        return task

    def _forget(self) -> None:
        oldest = self._clock() - REMEMBERED_SECONDS
        while self._known:
            key, first = next(iter(self._known.items()))
            if first.at > oldest and len(self._known) <= REMEMBERED:
                return
            del self._known[key]


async def _tried(create: Callable[[], Coroutine[Any, Any, str]]) -> str | Exception:
    """Returns what is created, or the error without its frames: they hold the body of the request."""
    try:
        return await create()
    except Exception as error:
        error.__context__ = None
        return error.with_traceback(None)
