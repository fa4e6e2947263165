"""Shrinks the plan of a broken run: leaves out everything that is not needed to break the same promise."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from tests.simulation.plan import Plan, Want
from tests.simulation.world import World, play_plan

LEAST_BAD_SECONDS = 1.0
"""Time that is left for faults after the last item of a plan, in seconds."""


@dataclass(frozen=True)
class Broken:
    """A run that broke a promise.

    Attributes:
        plan: Its plan.
        error: The broken promise, in one line.
        events: Number of events that the cores had handled by then.
    """

    plan: Plan
    error: str
    events: int


def play(plan: Plan, most_events: float = float("inf")) -> Broken | None:
    """Plays a plan; returns how it broke, or None if every promise was kept."""
    world = World(plan)
    try:
        play_plan(world, most_events)
    except Exception as error:
        return Broken(plan, f"{type(error).__name__}: {error}"[:300], world.handled)
    return None


def kind_of(error: str) -> str:
    """Returns the promise that an error names as broken, without names, ids and numbers."""
    return re.sub(r"\b[wcj]?\d+\b|\b[0-9a-f]{8,}\S*|b?'[^']*'", "_", error)[:120]


def shrink(
    found: Broken,
    seconds: float,
    tell: Callable[[Broken], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Broken:
    """Returns the smallest plan found that still breaks the same promise; a local minimum, if time allows.

    Args:
        found: The run as it broke.
        seconds: Time limit, in seconds.
        tell: Called with every smaller plan.
        clock: Returns the time in seconds, from any start.
    """
    until, kind = clock() + seconds, kind_of(found.error)
    best = found
    smaller = True
    while smaller and clock() < until:
        smaller = False
        for plan in _smaller(best.plan):
            if clock() >= until:
                break
            # A run that lasts much longer than the known one says little and costs much.
            again = play(plan, most_events=4 * best.events + 1000)
            if again is not None and kind_of(again.error) == kind:
                best, smaller = again, True
                tell(best)
                break
    return best


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Yields smaller plans, the smallest first."""
    items = plan.items
    size = (len(items) + 1) // 2
    while size:
        for at in range(0, len(items), size):
            yield msgspec.structs.replace(plan, items=items[:at] + items[at + size :])
        size = 0 if size == 1 else (size + 1) // 2
    last = items[-1].at + LEAST_BAD_SECONDS if items else LEAST_BAD_SECONDS
    if last < plan.bad_seconds:
        yield msgspec.structs.replace(plan, bad_seconds=last)
    yield from _smaller_settings(plan)
    for at, item in enumerate(items):
        if isinstance(item, Want) and (item.hooked or item.priority or item.queue_limit or item.forced):
            plain = msgspec.structs.replace(item, hooked=False, priority=0, queue_limit=0, forced=False)
            yield msgspec.structs.replace(plan, items=[*items[:at], plain, *items[at + 1 :]])


def _smaller_settings(plan: Plan) -> Iterator[Plan]:
    setting = plan.setting
    for name in list(setting.workers):
        if len(setting.workers) > 1:
            workers = {other: cpus for other, cpus in setting.workers.items() if other != name}
            yield _with(plan, workers=workers, forgetful=[each for each in setting.forgetful if each != name])
    for name in setting.choosers:
        yield _with(plan, choosers={other: cpus for other, cpus in setting.choosers.items() if other != name})
    for name in setting.clients:
        if name != setting.watching:
            clients = [other for other in setting.clients if other != name]
            yield _with(plan, clients=clients, eager=[each for each in setting.eager if each != name])
    if setting.forgetful:
        yield _with(plan, forgetful=[])
    if setting.eager:
        yield _with(plan, eager=[])
    if setting.log_bytes:
        yield _with(plan, log_bytes=0)


def _with(plan: Plan, **changes: object) -> Plan:
    return msgspec.structs.replace(plan, setting=msgspec.structs.replace(plan.setting, **changes))
