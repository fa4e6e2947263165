"""A thread that runs functions for an event loop in order, with a cheap hand-over.

A `concurrent.futures.ThreadPoolExecutor` needs two futures, a lock and a semaphore for each function. That takes longer
than a small commit in SQLite without its sync.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

log = logging.getLogger("asman.hub.ledger")

_Work = tuple[Callable[[], None], Callable[[], None] | None, asyncio.Future[None], asyncio.AbstractEventLoop]


class WriterThread:
    """Runs functions in one thread, one after the other.

    The thread starts with the first function. It is a daemon, so it does not keep the process alive.

    Args:
        name: The name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def run(self, work: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Runs a function in the thread after all earlier ones, and raises its errors.

        If this is cancelled, a function that has begun finishes, later ones wait for it, and its errors are dropped. A
        function that has not begun is skipped.

        Args:
            work: The function.
            then: A second function that runs right after ``work`` without being awaited. It is skipped if ``work``
                raises. Its own errors are logged.
        """
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.put((work, then, done, loop))
        await done

    def close(self, last: Callable[[], None]) -> None:
        """Runs all remaining functions and then ``last``, and ends the thread. `run` may be called again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        waiting, self._waiting = self._waiting, SimpleQueue()
        waiting.put(None)
        thread.join()
        last()

    def _work(self) -> None:
        waiting = self._waiting
        while (item := waiting.get()) is not None:
            work, then, done, loop = item
            if done.cancelled():
                continue
            error: BaseException | None = None
            try:
                work()
            except BaseException as raised:
                error = raised
            # If the loop was closed meanwhile, no caller is waiting.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve, done, error)
            if then is not None and error is None:
                try:
                    then()
                except Exception:
                    log.exception("the second function of a work item failed")
            del item, work, then, done, error


def _resolve(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
