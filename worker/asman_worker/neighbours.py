"""Notices that several workers of one machine offer the same memory, cpus or gpus to jobs.

Each worker says what it offers in the name of an abstract socket, which other workers read in ``/proc/net/unix``. The
kernel removes it with the process, and no user and no data folder is in the way. Workers in containers with a network
of their own, and those on other systems than Linux, see no others. Any process of the machine can take such a name, so
nothing but sentences for the operator depends on it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from asman_shared.units import format_size

from .execution.gpus import discover

log = logging.getLogger("asman.worker.neighbours")

LOOK_SECONDS: Final = 60.0
"""Time between two looks at the other workers, in seconds."""
REMEDY: Final = "give each worker its part with --memory, --cpus and --gpus, or run one that serves all queues"
_SOCKETS: Final = Path("/proc/net/unix")
_NAME: Final = re.compile(
    r"@asman-worker/(?:1|2/(?P<user>\d{1,10}))"
    r"/(?P<pid>\d{1,10})/(?P<memory>\d{1,18})/(?P<cpus>\d{1,9})/(?P<gpus>\d{1,6})/[0-9a-f]{16}"
)
"""The name of a worker's socket; in that of an earlier version stands no user."""
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Offer:
    """The resources that one worker offers to jobs.

    Attributes:
        pid: Its process.
        memory: In bytes; 0 for unknown.
        cpus: Thousandths of a cpu.
        gpus: Their number.
        user: The user id of its process; None if it does not say.
    """

    pid: int
    memory: int
    cpus: int
    gpus: int
    user: int | None = None


def machine() -> Offer:
    """Returns what this machine has."""
    return Offer(0, int(psutil.virtual_memory().total), 1000 * (os.cpu_count() or 1), len(discover()))


def offers(sockets: Path = _SOCKETS) -> list[Offer]:
    """Returns the offers of this user's workers on this machine, as far as they can be seen from here.

    Those of other users are nothing that this user can do something about. The name of a worker of an earlier version
    has no user, so it counts.
    """
    try:
        text = sockets.read_text(errors="replace")
    except OSError:
        return []
    found = [_NAME.fullmatch(line.rpartition(" ")[2]) for line in text.splitlines()]
    made = [
        Offer(**{name: int(number) for name, number in match.groupdict().items() if number is not None})
        for match in found
        if match is not None
    ]
    return [each for each in made if each.user in (None, os.geteuid())][:_MOST]


def twice(offered: Iterable[Offer], has: Offer) -> str:
    """Says what workers offer together beyond what the machine has; empty if there is enough for all, or one worker."""
    all_of_them = list(offered)
    if len(all_of_them) < 2:
        return ""
    memory, cpus, gpus = (sum(getattr(each, name) for each in all_of_them) for name in ("memory", "cpus", "gpus"))
    much, little = list[str](), list[str]()
    if memory > has.memory:
        much.append(f"{format_size(memory)} of memory")
        little.append(format_size(has.memory))
    if cpus > has.cpus:
        much.append(f"{cpus / 1000:g} cpus")
        little.append(f"{has.cpus / 1000:g} cpus")
    if gpus > has.gpus:
        much.append(f"{gpus} gpus")
        little.append(f"{has.gpus} gpus")
    if not much:
        return ""
    return f"{len(all_of_them)} workers on this machine offer {_and(much)}, and it has {_and(little)}"


def _and(words: list[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


class Neighbours:
    """The offers of this worker and the others of its machine, taken together.

    Args:
        own: This worker's offer.
        look: Returns the offers of all workers, with this one's.
    """

    def __init__(self, own: Offer, look: Callable[[], list[Offer]] | None = None) -> None:
        self.own = own
        self._look = look or offers
        self._told = ""

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Tells other workers of this one during the block; where the system has no such names, nobody is told."""
        own = self.own
        what = f"{own.user}/{own.pid}/{own.memory}/{own.cpus}/{own.gpus}"
        name = f"\0asman-worker/2/{what}/{secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
            if sys.platform == "linux":
                try:
                    held.bind(name)
                except OSError as error:
                    log.info("other workers of this machine are not told of this one: %s", error)
            yield

    def problem(self) -> str:
        """Says what the workers of this machine offer beyond what it has; empty if that is nothing."""
        return twice(self._look(), machine())

    def look(self) -> str:
        """Returns the problem, and logs it if it is new."""
        found = self.problem()
        if found and not self._told:
            others = ", ".join(str(each.pid) for each in self._look() if each != self.own)
            log.warning("%s: jobs may run out of them; %s (other workers: process %s)", found, REMEDY, others)
        elif self._told and not found:
            log.info("the workers on this machine no longer offer more than it has")
        self._told = found
        return found

    async def watch(self, tell: Callable[[str], None]) -> None:
        """Looks again and again.

        Args:
            tell: Called with the problem when it came, and with an empty text when it went. Other numbers alone are not
                told: each call makes this worker register again, and workers may come and go all day.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before = bool(self._told)
            if bool(found := self.look()) is not before:
                tell(found)
