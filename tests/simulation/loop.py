"""An event loop whose clock jumps: waiting costs no time, and the same program always runs the same way."""

from __future__ import annotations

import asyncio
import logging
from asyncio.events import _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any, Final, cast

from tests.simulation.errors import StuckError

EPOCH_MS: Final = 1_700_000_000_000

log = logging.getLogger("asman.simulation")

Context = dict[str, Any]
"""The argument of a loop's exception handler."""


class Call:
    """A callback that is due, at once or at a time; the needed part of an `asyncio.TimerHandle`.

    Args:
        when: The time, in seconds of the loop's clock.
        callback: Called with ``args``.
        args: Its arguments.
    """

    __slots__ = ("args", "at", "callback")

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.at = when
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        """Makes the loop skip this call."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """Returns whether the loop will skip this call."""
        return self.callback is None

    def when(self) -> float:
        """Returns the time at which this call is due, in seconds of the loop's clock."""
        return self.at


class VirtualLoop:
    """Callbacks and timers alone, without files, threads and signals; `run_virtual` runs a program on it.

    The standard loops spend most of a simulated run on their selector, on handles and on their debug switch. When
    nothing is ready, this one takes the next timer and moves the clock to it. It ignores contexts, since neither
    the hub nor the simulation has context variables. It offers what tasks, futures and timeouts call, and no more.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._number = 0
        self._over = False
        self._soon: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._handler: Callable[[Any, Context], object] | None = None

    def time(self) -> float:
        """Returns the virtual time, in seconds since the loop was made."""
        return self._now

    def get_debug(self) -> bool:
        """Returns False, because this loop has no debug mode."""
        return False

    def is_closed(self) -> bool:
        """Returns False, because the loop always accepts calls."""
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: object = None) -> Call:
        """Calls a function after all that are ready now."""
        call = Call(self._now, callback, args)
        self._soon.append(call)
        return call

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: object = None) -> Call:
        """Calls a function in ``delay`` seconds."""
        return self._timer(self._now + delay, callback, args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: object = None) -> Call:
        """Calls a function at a time of this loop's clock, in seconds."""
        return self._timer(when, callback, args)

    def _timer(self, when: float, callback: Callable[..., object], args: tuple[Any, ...]) -> Call:
        self._number += 1
        call = Call(when, callback, args)
        heappush(self._timers, (when, self._number, call))
        return call

    def create_future(self) -> asyncio.Future[Any]:
        """Makes a future of this loop."""
        return asyncio.Future(loop=cast(asyncio.AbstractEventLoop, self))

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> asyncio.Task[Any]:
        """Starts a coroutine."""
        loop = cast(asyncio.AbstractEventLoop, self)
        return asyncio.Task(coro, loop=loop, name=None if name is None else str(name), context=context)

    def set_exception_handler(self, handler: Callable[[Any, Context], object] | None) -> None:
        """Sets the handler of callbacks that fail."""
        self._handler = handler

    def default_exception_handler(self, context: Context) -> None:
        """Logs a callback that failed."""
        log.error(str(context.get("message")), exc_info=context.get("exception"))

    def call_exception_handler(self, context: Context) -> None:
        """Calls the handler, or logs the error if there is none."""
        if self._handler is None:
            self.default_exception_handler(context)
        else:
            self._handler(self, context)

    def run_until(self, done: asyncio.Future[Any]) -> None:
        """Runs callbacks until a future is done.

        Raises:
            StuckError: Nothing is ready, and no timer is set.
        """
        soon, timers = self._soon, self._timers
        self._over = False
        done.add_done_callback(self._stop)
        while not self._over:
            if soon:
                call = soon.popleft()
            elif timers:
                at, _, call = heappop(timers)
                if at > self._now and call.callback is not None:
                    self._now = at
            else:
                raise StuckError("every task waits for something that nobody will do")
            callback = call.callback
            if callback is None:
                continue
            try:
                callback(*call.args)
            except Exception as error:
                found = {"message": f"a callback failed: {callback}", "exception": error, "handle": call}
                self.call_exception_handler(found)

    def _stop(self, _done: object) -> None:
        self._over = True


def virtual_clock() -> int:
    """Epoch milliseconds of the running virtual loop."""
    return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)


def run_virtual(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine on a new virtual loop to its end, and then ends the tasks that it left."""
    loop = VirtualLoop()
    standard = cast(asyncio.AbstractEventLoop, loop)
    _set_running_loop(standard)
    try:
        task = loop.create_task(main())
        loop.run_until(task)
        pending = asyncio.all_tasks(standard)
        for left in pending:
            left.cancel()
        if pending:
            loop.run_until(asyncio.gather(*pending, return_exceptions=True))
        task.result()
    finally:
        _set_running_loop(None)
