"""A thread that does one thing after the other for an event loop, handed over as cheaply as it can be.

A `concurrent.futures.ThreadPoolExecutor` does the same by two futures, a lock and a semaphore for each piece of work,
which took longer than a small commit takes in SQLite without its sync.
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
    """See the module. The thread is there from the first work on, and does not keep a process from ending.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def run(self, work: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Runs a function in the thread, after what was asked for before, and raises what it raises.

        When this is cancelled, the function goes on, and later ones wait for it; what it raises is then lost. One whose
        turn has not come by then is left out.

        Args:
            work: The function.
            then: Another, that runs after it, and before whatever is asked for later, but is not waited for. It is left
                out when ``work`` raises; what it raises itself is logged.
        """
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.put((work, then, done, loop))
        await done

    def close(self, last: Callable[[], None]) -> None:
        """Returns when all that was asked for is done, and ``last`` after it. `run` may be called again."""
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
            # The loop may have been closed meanwhile: then nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, done, error)
            if then is not None and error is None:
                try:
                    then()
                except Exception:
                    log.exception("what follows a piece of work failed")
            del item, work, then, done, error


def _tell(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
