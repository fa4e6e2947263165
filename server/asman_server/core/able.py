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


class Able:
    """Number of workers that could run a job of each shape when they are free, cached until the workers change."""

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self._workers = workers
        self._known: dict[Shape, tuple[int, str]] = {}

    def forget(self) -> None:
        """Clears the cache. Must be called whenever a worker joins, leaves, or changes its resources."""
        self._known.clear()

    def count(self, shape: Shape) -> tuple[int, str]:
        """Returns the number of able workers and, when it is 0, a sentence with the reason."""
        known = self._known.get(shape)
        if known is None:
            if len(self._known) > SHAPES:
                self._known.clear()
            known = self._known[shape] = self._count(shape)
        return known

    def _count(self, shape: Shape) -> tuple[int, str]:
        ready = [w for w in self._workers.values() if w.presence is Presence.READY]
        lacks = Counter(w.lacks(shape) for w in ready)
        able = lacks.pop("", 0)
        if able:
            return able, ""
        if not ready:
            away = sum(w.presence is Presence.AWAY for w in self._workers.values())
            if away:
                return 0, f"no worker is connected; {away} lost the connection and may come back"
            return 0, "no worker is connected to this queue"
        return 0, _sentence(shape, ready, lacks)


def _sentence(shape: Shape, ready: list[Worker], lacks: Counter[str]) -> str:
    """Names the resource that most workers lack, as that is the closest to a remedy."""
    lack = lacks.most_common(1)[0][0]
    best_cpus = max(w.info.cpus for w in ready)
    best_memory = max(w.info.memory for w in ready)
    most_gpus = max(w.info.gpus for w in ready)
    longest = max(w.info.max_duration for w in ready)
    needs = {
        "gpus": f"{shape.gpus} gpus; no worker has more than {most_gpus}",
        "cpus": f"{shape.cpus / 1000:g} cpus; no worker has more than {best_cpus:g}",
        "memory": f"{format_size(shape.memory)} of memory; no worker has more than {format_size(best_memory)}",
        "tags": f"the tags {', '.join(sorted(shape.tags))}; no worker has all of them",
        "platform": f"the platform {shape.platform}; no worker has this platform",
        "duration": f"{format_duration(shape.duration)}; no worker allows more than {format_duration(longest)}",
    }
    online = f"{len(ready)} worker{'s' if len(ready) != 1 else ''} online"
    return f"{online}, none can run it: it needs {needs[lack]}"
