"""An answer that comes by a callback, for a caller that awaits the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from asman_shared.errors import AsmanError

T = TypeVar("T")


class Awaited(Generic[T]):
    """An answer that is awaited: `say` or `refuse` is handed over as the callback.

    Only the first call counts, because a caller may be cancelled before the answer comes.
    """

    def __init__(self) -> None:
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, None, T]:
        return self._future.__await__()

    def say(self, answer: T) -> None:
        """Gives the answer."""
        if not self._future.done():
            self._future.set_result(answer)

    def refuse(self, error: AsmanError) -> None:
        """Gives the error that the caller gets instead of an answer."""
        if not self._future.done():
            self._future.set_exception(error)
