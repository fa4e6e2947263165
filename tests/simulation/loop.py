"""An event loop whose clock jumps: waiting costs no time, and the same program always runs the same way."""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

EPOCH_MS = 1_700_000_000_000


class StuckError(AssertionError):
    """Every task waits, and nothing will ever wake one: a real program would hang here."""


class _Call(list[Any]):
    """A callback that is due: ``[time, number, callback, arguments]``.

    A list, because the heap of timers then compares times and numbers without a call into Python.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Makes the loop skip it."""
        self[2] = None
        self[3] = ()

    def cancelled(self) -> bool:
        """Tells whether the loop will skip it."""
        return self[2] is None

    def when(self) -> float:
        """The time of a timer, in seconds of the loop's clock."""
        return float(self[0])


class VirtualLoop(asyncio.AbstractEventLoop):
    """The part of an event loop that a simulation needs: callbacks and timers, but no files, threads or signals.

    The standard loops spend most of a simulated run on polling a selector, on handles and on debug switches. When
    nothing is ready, this one takes the next timer and moves the clock on to it. It ignores contexts: neither the hub
    nor the simulation has context variables.
    """

    get_debug = staticmethod(bool)  # type: ignore[assignment]  # False, without a call into Python

    def __init__(self) -> None:
        self._now = 0.0
        self._number = 0
        self._ready: deque[_Call] = deque()
        self._timers: list[_Call] = []
        self._closed = False
        self._running = False
        self._on_exception: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None

    def time(self) -> float:
        return self._now

    # ----------------------------------------------------------------------------------------------- what is due

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        call = _Call((0.0, 0, callback, args))
        self._ready.append(call)
        return call

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        self._number += 1
        call = _Call((self._now + delay, self._number, callback, args))
        heapq.heappush(self._timers, call)
        return call

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        self._number += 1
        call = _Call((when, self._number, callback, args))
        heapq.heappush(self._timers, call)
        return call

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)  # type: ignore[arg-type]

    # --------------------------------------------------------------------------------------------------- running

    def run_until_complete(self, future: Any) -> Any:
        """Runs until the future is done; returns its result.

        Raises:
            StuckError: Nothing is left to do, and the future is not done.
        """
        future = asyncio.ensure_future(future, loop=self)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._close_generator)
        events._set_running_loop(self)
        self._running = True
        try:
            self._run(future)
        finally:
            self._running = False
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
        return future.result()

    def _run(self, future: asyncio.Future[Any]) -> None:
        ready, timers = self._ready, self._timers
        while not future.done():
            if ready:
                call = ready.popleft()
            elif timers:
                call = heapq.heappop(timers)
                if call[2] is not None and call[0] > self._now:
                    self._now = call[0]
            else:
                raise StuckError("every task waits for something that nobody will do")
            callback = call[2]
            if callback is None:
                continue
            try:
                callback(*call[3])
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler(
                    {"message": f"a callback failed: {callback}", "exception": error, "handle": call}
                )

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Ends an asynchronous generator that somebody dropped before its end."""
        if not self._closed:
            self.call_soon(self.create_task, generator.aclose())

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    # ---------------------------------------------------------------------------------------------------- errors

    def set_exception_handler(
        self, handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None
    ) -> None:
        self._on_exception = handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._on_exception is not None:
            self._on_exception(self, context)
        else:
            self.default_exception_handler(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """As the standard loop: logs it."""
        error = context.get("exception")
        asyncio.log.logger.error(context["message"], exc_info=error)


def virtual_clock() -> int:
    """Epoch milliseconds of the running virtual loop."""
    return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)


def run_virtual(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine on a new virtual loop to its end."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
