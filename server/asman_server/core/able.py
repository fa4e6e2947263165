"""Count of the workers that could run a job when they are free, with the reason when none could."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from asman_shared.definition import BUILD, IMAGE, MACHINE, Shape
from asman_shared.units import format_duration, format_size

from .worker import Presence, Worker

SHAPES: Final = 10_000
"""Most shapes whose count is cached."""
NAMED: Final = 3
"""Most workers that a sentence names."""

_SOURCES: Final = {
    IMAGE: "names an image",
    BUILD: "has an image built",
    MACHINE: "names no image",
}
_STARTS: Final = {
    IMAGE: "no worker runs containers: start one with --executor docker or oci (or one with --executor process and "
    "--ignore-images, which runs the command without the image)",
    BUILD: "no worker builds images: start one with --executor docker",
    MACHINE: "all workers run containers: give the job an image, or start a worker with --executor process",
}


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
            remedy = _closed(could, "could run it, but") if could else _most(shape, ready + closed, lacks)
            online = f"{len(ready)} worker{_s(len(ready))} online"
            return 0, f"{online}, none can run it: it {_needs(shape, lacks)}; {remedy}"
        if could:
            return 0, _closed(could, "could run it, but")
        if closed:
            lacks = Counter(w.lacks(shape) for w in closed)
            return 0, f"{_closed(closed, '')}; besides, the job {_needs(shape, lacks)}; {_most(shape, closed, lacks)}"
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


def chief(lacks: Counter[str]) -> str:
    """Returns the resource that most workers lack, as that is the closest to a remedy; empty if nothing is lacking.

    Workers that don't run jobs of this source at all count only if there are no others.
    """
    found = lacks.most_common(2)
    return found[-1][0] if found and found[0][0] == "source" else found[0][0] if found else ""


def _needs(shape: Shape, lacks: Counter[str]) -> str:
    """Names the resource that most workers lack."""
    if (lack := chief(lacks)) == "source":
        return _SOURCES[shape.source]
    needs = {
        "gpus": f"{shape.gpus} gpu{_s(shape.gpus)}",
        "cpus": f"{shape.cpus / 1000:g} cpu{_s(shape.cpus / 1000)}",
        "memory": f"{format_size(shape.memory)} of memory",
        "tags": f"the tag{_s(len(shape.tags))} {', '.join(sorted(shape.tags))}",
        "platform": f"the platform {shape.platform}",
        "duration": format_duration(shape.duration),
    }
    return f"needs {needs[lack]}"


def _s(number: float) -> str:
    return "" if number == 1 else "s"


def _most(shape: Shape, workers: list[Worker], lacks: Counter[str]) -> str:
    """Says how much there is of what most workers lack."""
    if (lack := chief(lacks)) == "source":
        return _STARTS[shape.source]
    most = {
        "gpus": f"has more than {max(w.info.gpus for w in workers)}",
        "cpus": f"has more than {max(w.info.cpus for w in workers):g}",
        "memory": f"has more than {format_size(max(w.info.memory for w in workers))}",
        "tags": "has it" if len(shape.tags) == 1 else "has all of them",
        "platform": "has this platform",
        "duration": f"allows more than {format_duration(max(w.info.max_duration for w in workers))}",
    }
    return f"no worker {most[lack]}"
