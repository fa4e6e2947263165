"""An event loop whose clock jumps: waiting costs no time, and the same program always runs the same way."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

EPOCH_MS = 1_700_000_000_000

Ts = TypeVarTuple("Ts")


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


class VirtualLoop(asyncio.BaseEventLoop):
    """Callbacks and timers alone, without files, threads and signals.

    The standard loops spend most of a simulated run on their selector, on handles and on their debug switch. When
    nothing is ready, this one takes the next timer and moves the clock on to it. It ignores contexts, since neither
    the hub nor the simulation has context variables.
    """

    get_debug = staticmethod(bool)  # False, without a call into Python; every future asks for it

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._number = 0
        self._stopping = False
        self._soon: deque[_Call] = deque()
        self._timers: list[_Call] = []

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        call = _Call((0.0, 0, callback, args))
        self._soon.append(call)
        return call  # type: ignore[return-value]

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._number += 1
        call = _Call((self._now + delay, self._number, callback, args))
        heapq.heappush(self._timers, call)
        return call  # type: ignore[return-value]

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._number += 1
        call = _Call((when, self._number, callback, args))
        heapq.heappush(self._timers, call)
        return call  # type: ignore[return-value]

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=None if name is None else str(name), context=context)

    def _run_once(self) -> None:
        """Runs callbacks until the loop is to stop; the standard loop calls this once for each round."""
        soon, timers = self._soon, self._timers
        while not self._stopping:
            if soon:
                call = soon.popleft()
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
                found = {"message": f"a callback failed: {callback}", "exception": error, "handle": call}
                self.call_exception_handler(found)


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
