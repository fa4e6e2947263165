"""Time limits of calls, and the conversion of durations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asman_shared.errors import BadUnit, TimedOut
from asman_shared.units import parse_duration


@asynccontextmanager
async def deadline(timeout: float | None, doing: str) -> AsyncIterator[None]:
    """Limits the time that a block may take.

    Args:
        timeout: In seconds; None for no limit.
        doing: The action in the block, as the beginning of the error's sentence.

    Raises:
        TimedOut: The block took longer.
    """
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        if timeout is None:
            raise
        raise TimedOut(f"{doing} took longer than {timeout:g} seconds") from None


def milliseconds(duration: str | float | None, *, field: str) -> int:
    """Converts seconds, or a duration as text (``20m``), to milliseconds; 0 for None.

    Raises:
        BadUnit: The duration can't be parsed or is not above zero.
    """
    if duration is None:
        return 0
    ms = parse_duration(duration, field=field) if isinstance(duration, str) else round(duration * 1000)
    if ms <= 0:
        raise BadUnit(f"a time limit must be above zero, not {duration}", field=field)
    return ms
