"""Count of the workers that could run a job when they are free, with the reason when none could."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from asman_shared.definition import Shape
from asman_shared.units import format_duration, format_size

from .worker import Presence, Worker

SHAPES: Final = 10_000
"""Most shapes whose count is cached."""
NAMED: Final = 3
"""Most workers that a sentence names."""


class Able:
    """Number of workers that could run a job of each shape when they are free, cached until the workers change."""

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self._workers = workers
        self._known: dict[Shape, tuple[int, str]] = {}
        self._seen = 0

    def forget(self) -> None:
        """Clears the cache. Must be called whenever a worker joins, leaves, or changes its resources."""
        self._known.clear()

    def count(self, shape: Shape) -> tuple[int, str]:
        """Returns the number of able workers and, when it is 0, a sentence with the reason."""
        if len(self._workers) < self._seen:
            self._known.clear()  # a reason may name a worker that has gone
        self._seen = len(self._workers)
        known = self._known.get(shape)
        if known is None:
            if len(self._known) > SHAPES:
                self._known.clear()
            known = self._known[shape] = self._count(shape)
        return known

    def _count(self, shape: Shape) -> tuple[int, str]:
        ready = self._are(Presence.READY)
        lacks = Counter(w.lacks(shape) for w in ready)
        able = lacks.pop("", 0)
        if able:
            return able, ""
        closed = self._are(Presence.DRAINING)
        could = [w for w in closed if not w.lacks(shape)]
        if ready:
            remedy = _closed(could, "could run it, but") if could else _most(ready + closed, lacks)
            online = f"{len(ready)} worker{'s' if len(ready) != 1 else ''} online"
            return 0, f"{online}, none can run it: it {_needs(shape, lacks)}; {remedy}"
        if could:
            return 0, _closed(could, "could run it, but")
        if closed:
            lacks = Counter(w.lacks(shape) for w in closed)
            return 0, f"{_closed(closed, '')}; besides, the job {_needs(shape, lacks)}; {_most(closed, lacks)}"
        away = len(self._are(Presence.AWAY))
        if away:
            return 0, f"no worker is connected; {away} lost the connection and may come back"
        return 0, "no worker is connected to this queue"

    def _are(self, presence: Presence) -> list[Worker]:
        return [w for w in self._workers.values() if w.presence is presence]


def _closed(workers: list[Worker], but: str) -> str:
    """Names connected workers that take no new jobs. The hub isn't told why they don't."""
    names = [f"'{w.info.name}'" for w in workers[:NAMED]]
    if len(workers) > NAMED:
        names.append(f"{len(workers) - NAMED} more")
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    if len(workers) == 1:
        said = f"the worker {listed} {but or 'is connected, but'} takes no new jobs"
        return f"{said}: it is leaving, or paused (its disk is full or its engine does not answer); its log says which"
    said = f"the workers {listed} {but or 'are connected, but'} take no new jobs"
    return f"{said}: they are leaving, or paused (disk full or engine without an answer); their logs say which"


def _needs(shape: Shape, lacks: Counter[str]) -> str:
    """Names the resource that most workers lack, as that is the closest to a remedy."""
    needs = {
        "gpus": f"{shape.gpus} gpus",
        "cpus": f"{shape.cpus / 1000:g} cpus",
        "memory": f"{format_size(shape.memory)} of memory",
        "tags": f"the tags {', '.join(sorted(shape.tags))}",
        "platform": f"the platform {shape.platform}",
        "duration": format_duration(shape.duration),
    }
    return f"needs {needs[lacks.most_common(1)[0][0]]}"


def _most(workers: list[Worker], lacks: Counter[str]) -> str:
    """Says how much there is of what most workers lack."""
    most = {
        "gpus": f"has more than {max(w.info.gpus for w in workers)}",
        "cpus": f"has more than {max(w.info.cpus for w in workers):g}",
        "memory": f"has more than {format_size(max(w.info.memory for w in workers))}",
        "tags": "has all of them",
        "platform": "has this platform",
        "duration": f"allows more than {format_duration(max(w.info.max_duration for w in workers))}",
    }
    return f"no worker {most[lacks.most_common(1)[0][0]]}"
