"""All doors."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Final

from tests.fuzz.builds import Addresses, Archives, Dockerfiles, IgnoreRules
from tests.fuzz.door import Door
from tests.fuzz.hub_doors import ClientMessages, DialectClients, DialectWorkers, HubDoor, Rest, WorkerMessages
from tests.fuzz.job_urls import JobUrls
from tests.fuzz.mutants import MUTANTS, plant
from tests.fuzz.openapi_door import OpenApi
from tests.fuzz.play import Played, play
from tests.fuzz.tes_tasks import TesTasks

PARSERS: Final[dict[str, Callable[[], Door]]] = {
    each.name: each for each in (Archives, Dockerfiles, IgnoreRules, Addresses, JobUrls)
}
"""The doors that are functions, by name."""
OF_A_HUB: Final[dict[str, Callable[[], Door]]] = {
    each.name: each
    for each in (ClientMessages, WorkerMessages, DialectClients, DialectWorkers, Rest, TesTasks, OpenApi)
}
"""The doors of a hub, by name."""
DOORS: Final[dict[str, Callable[[], Door]]] = {**PARSERS, **OF_A_HUB}
"""All doors by name."""


def play_alone(name: str, seed: int, seconds: float) -> Played:
    """Feeds a door in a process of its own."""
    logging.disable(logging.CRITICAL)
    return play(DOORS[name](), seed, seconds=seconds)


def leave_interrupts_to_the_parent() -> None:
    """Ignores Ctrl-C, which ends the parent and thereby the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def hunt(mutant: str, seed: int, seconds: float) -> Played:
    """Feeds the door of a planted fault, in a process of its own."""
    logging.disable(logging.CRITICAL)
    door = DOORS[MUTANTS[mutant][0]]()
    if isinstance(door, HubDoor):
        door.mutant = mutant
        return play(door, seed, seconds=seconds, keep=False)
    with plant(mutant):
        return play(door, seed, seconds=seconds, keep=False)
