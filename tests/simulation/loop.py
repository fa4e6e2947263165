"""An event loop whose clock jumps: waiting costs no time, and the same program always runs the same way."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class StuckError(AssertionError):
    """Everybody waits and nothing will ever happen: a real program would hang here."""


class _Selector(selectors.SelectSelector):
    """Moves the clock on by as long as the loop would have slept."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError("every task waits for something that nobody will do")
        self.now += max(timeout, 0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


EPOCH_MS = 1_700_000_000_000


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
