"""Time limits of calls, and the conversion of durations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeAlias, overload

from asman_shared.errors import BadRequest, BadUnit, TimedOut
from asman_shared.states import Phase
from asman_shared.units import parse_duration

from .arguments import limit, nearest, seconds, shown, wrong

Duration: TypeAlias = str | float | timedelta
"""A time: a number of seconds, a text such as ``20m``, or a ``timedelta``."""


@asynccontextmanager
async def deadline(
    timeout: Duration | None, doing: str, why: Callable[[], Awaitable[str]] | None = None
) -> AsyncIterator[None]:
    """Limits the time that a block may take.

    Args:
        timeout: In seconds, or as text (``5m``); None for no limit.
        doing: The action in the block, as the beginning of the error's sentence.
        why: Returns the reason for the delay, if it is known, as the end of that sentence.

    Raises:
        TimedOut: The block took longer.
        BadUnit: The limit is no number of seconds.
    """
    timeout = _seconds(timeout) if isinstance(timeout, str) else limit("timeout", timeout)
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        if timeout is None:
            raise
        reason = "" if why is None else await why()
        raise TimedOut(f"{doing} took longer than {timeout:g} seconds{reason and f': {reason}'}") from None


def _seconds(timeout: str) -> float:
    try:
        return milliseconds(timeout, field="timeout") / 1000
    except BadUnit as error:
        raise BadUnit(f"timeout: {error.message}", field="timeout") from None


@overload
def milliseconds(duration: Duration, *, field: str) -> int: ...
@overload
def milliseconds(duration: Duration | None, *, field: str) -> int | None: ...
def milliseconds(duration: Duration | None, *, field: str) -> int | None:
    """Converts seconds, or a duration as text (``20m``), to milliseconds; None for no limit.

    Raises:
        BadUnit: The duration can't be parsed, is not above zero, or is longer than any that can be waited for.
    """
    if duration is None:
        return None
    wanted = "a number of seconds, or a text such as '20m'"
    ms = (
        parse_duration(duration, field=field)
        if isinstance(duration, str)
        else round(seconds(field, duration, wanted) * 1000)
    )
    if ms <= 0:
        raise BadUnit(f"{field} must be above zero, not {shown(duration)}", field=field)
    return ms


def phase_limits(timeouts: Mapping[Phase | str, Duration] | None) -> dict[Phase, int]:
    """Converts the maximum times of phases to milliseconds.

    Raises:
        BadRequest: A phase is unknown.
        BadUnit: As for `milliseconds`.
    """
    if timeouts is not None and not isinstance(timeouts, Mapping):
        raise wrong("phase_timeouts", timeouts, 'a mapping such as {"pulling": "10m"}')
    limits = {}
    for name, timeout in (timeouts or {}).items():
        if name not in tuple(Phase):
            hint = nearest(str(name), Phase).rstrip("?")
            raise BadRequest(
                f"unknown phase {shown(name)}{hint}: use one of {', '.join(Phase)}", field="phase_timeouts"
            )
        limits[Phase(name)] = milliseconds(timeout, field=f"phase_timeouts.{name}")
    return limits
