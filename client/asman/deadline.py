"""Time limits that a caller sets, and the durations that people write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asman_shared.errors import BadUnit, TimedOut
from asman_shared.units import parse_duration


@asynccontextmanager
async def deadline(timeout: float | None, doing: str) -> AsyncIterator[None]:
    """Bounds what is done inside.

    Args:
        timeout: Seconds; None for no bound.
        doing: What is bounded, as the beginning of the error's sentence.

    Raises:
        TimedOut: It took longer.
    """
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        if timeout is None:
            raise
        raise TimedOut(f"{doing} took longer than {timeout:g} seconds") from None


def milliseconds(duration: str | float | None, *, field: str) -> int:
    """Milliseconds from seconds, or from a duration as people write it (``20m``); 0 for None.

    Raises:
        BadUnit: It can't be read or is not above zero.
    """
    if duration is None:
        return 0
    ms = parse_duration(duration, field=field) if isinstance(duration, str) else round(duration * 1000)
    if ms <= 0:
        raise BadUnit(f"a time limit is above zero, not {duration}", field=field)
    return ms
