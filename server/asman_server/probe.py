"""Asks a question that may take long or stall, for a reader that asks often and wants an answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

KEPT_SECONDS: Final = 2.0
"""Time for which an answer counts, in seconds."""
PATIENCE_SECONDS: Final = 2.0
"""Longest time that one reader waits for the answer, in seconds."""


class Probe:
    """A question about something outside the hub: asked once at a time, and its answer is kept for a moment.

    Args:
        what: The name of the thing, such as ``the database``.
        ask: Finds out what is wrong; returns an empty text for nothing. It must not raise.
        patience: Longest time that one reader waits, in seconds.
        kept: Time for which an answer counts, in seconds.
    """

    def __init__(
        self,
        what: str,
        ask: Callable[[], Awaitable[str]],
        *,
        patience: float = PATIENCE_SECONDS,
        kept: float = KEPT_SECONDS,
    ) -> None:
        self._what = what
        self._ask = ask
        self._patience = patience
        self._kept = kept
        self._asking: asyncio.Task[str] | None = None
        self._answered = float("-inf")
        self._answer = ""

    async def wrong(self) -> str:
        """Returns what is wrong; empty for nothing. Never takes longer than the patience."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._answered < self._kept:
            return self._answer
        if self._asking is None:
            self._asking = loop.create_task(self._find_out())
        asking = self._asking
        done, _ = await asyncio.wait([asking], timeout=self._patience)
        return asking.result() if done else f"{self._what} did not answer within {self._patience:g} s"

    async def _find_out(self) -> str:
        try:
            self._answer = await self._ask()
            self._answered = asyncio.get_running_loop().time()
            return self._answer
        finally:
            self._asking = None

    async def close(self) -> None:
        """Stops asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
