"""The order of waiting jobs: priority, then fair turns among namespaces, then age.

Jobs of one `Shape` are kept in one line, so the next job for a worker is found at the heads of the lines, without a
scan of the queue. In a line, each priority has lanes, one per namespace. A lane's *turn* is the
start tag of start-time fair queueing (Goyal, Vin and Cheng, 1996) with unit cost: being served moves a namespace one
turn on, and one that comes back after a pause starts at the present turn, so it can neither save turns up nor be
starved.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator

from asman_shared.definition import Shape
from asman_shared.states import State

from .job import Job
from .sharing import Shared

Rank = tuple[int, int, int]
"""(negative priority, turn, number): the smallest is next."""


def _number(entry: tuple[int, Job]) -> int:
    return entry[0]


class Turns:
    """The turns of the namespaces of a queue."""

    __slots__ = ("_next", "_prune", "now")

    PRUNE = 4096

    def __init__(self) -> None:
        self.now = 0
        self._next: dict[str, int] = {}
        self._prune = self.PRUNE

    def of(self, lane: str) -> int:
        """Returns the turn at which a lane may be served."""
        turn = self._next.get(lane, 0)
        return turn if turn > self.now else self.now

    def serve(self, lane: str) -> None:
        """Notes that a job of this lane was assigned."""
        turn = self.of(lane)
        self.now = turn
        self._next[lane] = turn + 1
        if len(self._next) > self._prune:
            self._next = {k: v for k, v in self._next.items() if v > self.now}
            self._prune = max(self.PRUNE, 2 * len(self._next))


def waits(rank: Rank, job: Job) -> bool:
    """Whether an entry of `ReadyLine.order` counts; other entries are of jobs that left or moved."""
    return job.state is State.QUEUED and job.number == rank[2] and job.priority == -rank[0]


class _Lane:
    """The waiting jobs of one namespace and priority, oldest first.

    Jobs that came back after a lost worker keep their age. Entries of jobs that left, or whose priority has changed,
    stay until they are reached or are the majority.
    """

    __slots__ = ("back", "entry", "fresh", "priority", "taken", "waiting")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.entry: tuple[int, int] | None = None
        self.fresh: deque[tuple[int, Job]] = deque()
        self.back: list[tuple[int, Job]] = []
        self.taken: set[int] | None = None
        """Numbers whose entry in ``fresh`` is void, because their job was taken out of turn."""
        self.waiting = 0

    def push(self, job: Job) -> None:
        self.waiting += 1
        if self.fresh and job.number <= self.fresh[-1][0]:
            heapq.heappush(self.back, (job.number, job))
        else:
            self.fresh.append((job.number, job))

    def stale(self, entry: tuple[int, Job]) -> bool:
        """Whether an entry no longer counts."""
        number, job = entry
        return job.state is not State.QUEUED or job.number != number or job.priority != self.priority

    def _void(self, entry: tuple[int, Job]) -> bool:
        return self.taken is not None and entry[0] in self.taken

    def head(self) -> Job | None:
        """Returns the oldest job that still waits; drops outdated entries before it."""
        fresh, back = self.fresh, self.back
        while fresh and (self.stale(fresh[0]) or self._void(fresh[0])):
            number, _ = fresh.popleft()
            if self.taken:
                self.taken.discard(number)
        while back and self.stale(back[0]):
            heapq.heappop(back)
        if back and (not fresh or back[0][0] < fresh[0][0]):
            return back[0][1]
        return fresh[0][1] if fresh else None

    def take(self, job: Job) -> None:
        """Drops the entry of a job that was assigned, so that the job can come back with the same number.

        The entry of a job that a worker chose out of turn may be anywhere. In ``fresh`` it is only marked as void; in
        ``back``, which is short, it is searched for.
        """
        number = job.number
        if self.fresh and self.fresh[0][0] == number and not self._void(self.fresh[0]):
            self.fresh.popleft()
        elif self.back and self.back[0][0] == number:
            heapq.heappop(self.back)
        elif any(entry[0] == number for entry in self.back):
            self.back = [entry for entry in self.back if entry[0] != number]
            heapq.heapify(self.back)
        else:
            self.taken = self.taken or set()
            self.taken.add(number)
            self.compact()

    def order(self) -> Iterator[tuple[int, Job]]:
        """Yields every entry, oldest first, outdated ones included; changes nothing."""
        fresh = itertools.filterfalse(self._void, self.fresh) if self.taken else self.fresh
        return heapq.merge(fresh, sorted(self.back, key=_number), key=_number)

    def compact(self) -> None:
        """Drops outdated entries once they are the majority."""
        if len(self.fresh) + len(self.back) > 2 * self.waiting + 64:
            self.fresh = deque(e for e in self.fresh if not self.stale(e) and not self._void(e))
            self.taken = None
            self.back = [e for e in self.back if not self.stale(e)]
            heapq.heapify(self.back)


class _Level:
    """The lanes of one priority in one line, in a heap by (turn, age) that is repaired on reading.

    One entry of each lane counts (`_Lane.entry`). Turns and ages only grow, so an outdated entry never stands behind
    its right place, and reading the top finds and repairs it.
    """

    __slots__ = ("heap", "lanes", "priority")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.lanes: dict[str, _Lane] = {}
        self.heap: list[tuple[int, int, str]] = []

    def push(self, job: Job, turns: Turns) -> None:
        lane = self.lanes.get(job.lane)
        if lane is None:
            lane = self.lanes[job.lane] = _Lane(self.priority)
        head = lane.head()
        lane.push(job)
        if head is None or job.number < head.number:
            lane.entry = (turns.of(job.lane), job.number)
            heapq.heappush(self.heap, (*lane.entry, job.lane))

    def head(self, turns: Turns) -> tuple[int, Job] | None:
        heap = self.heap
        while heap:
            turn, number, name = heap[0]
            lane = self.lanes.get(name)
            if lane is None or lane.entry != (turn, number):
                heapq.heappop(heap)
                continue
            job = lane.head()
            if job is None:
                heapq.heappop(heap)
                del self.lanes[name]
                continue
            actual = (turns.of(name), job.number)
            if actual == lane.entry:
                return turn, job
            lane.entry = actual
            heapq.heapreplace(heap, (*actual, name))
        return None

    def order(self, turns: Turns) -> Iterator[tuple[int, int, Job]]:
        """Yields (turn, number, job) in the order of assignment; changes nothing.

        The heap is walked from its top, as the next smallest entry is always a child of one already taken. So the first
        entries cost the same whatever the number of lanes.
        """
        heap = self.heap
        walk: list[tuple[int, int, int, int, Iterator[tuple[int, Job]] | None, Job | None]] = []
        ties = itertools.count()
        seen: set[str] = set()

        def visit(at: int) -> None:
            if at < len(heap):
                heapq.heappush(walk, (heap[at][0], heap[at][1], next(ties), at, None, None))

        def follow(entries: Iterator[tuple[int, Job]], turn: int) -> None:
            entry = next(entries, None)
            if entry is not None:
                heapq.heappush(walk, (turn, entry[0], next(ties), 0, entries, entry[1]))

        visit(0)
        while walk:
            turn, number, _, at, entries, job = heapq.heappop(walk)
            if entries is not None and job is not None:
                yield turn, number, job
                follow(entries, turn + 1 if waits((-self.priority, turn, number), job) else turn)
                continue
            visit(2 * at + 1)
            visit(2 * at + 2)
            name = heap[at][2]
            lane = self.lanes.get(name)
            if lane is not None and lane.entry == (turn, number) and name not in seen:
                seen.add(name)
                follow(lane.order(), turns.of(name))


class ReadyLine:
    """The waiting jobs of one shape."""

    __slots__ = ("_levels", "_order", "shape", "waiting")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.waiting = 0
        self._levels: dict[int, _Level] = {}
        self._order: list[int] = []

    def push(self, job: Job, turns: Turns) -> None:
        """Adds a job in its place."""
        level = self._levels.get(job.priority)
        if level is None:
            level = self._levels[job.priority] = _Level(job.priority)
            heapq.heappush(self._order, -job.priority)
        level.push(job, turns)
        self.waiting += 1

    def head(self, turns: Turns) -> tuple[Rank, Job] | None:
        """Returns the next job of this shape, with its rank among the heads of all lines."""
        while self._order:
            negative = self._order[0]
            found = self._levels[-negative].head(turns)
            if found is not None:
                return (negative, found[0], found[1].number), found[1]
            heapq.heappop(self._order)
            del self._levels[-negative]
        return None

    def order(self, turns: Turns) -> Iterator[tuple[Rank, Job]]:
        """Yields entries in the order of assignment; some are outdated, see `waits`.

        Changes nothing, and is lazy: reading the first thousand costs the same in any queue.
        """
        for negative in sorted(self._order):
            for turn, number, job in self._levels[-negative].order(turns):
                yield (negative, turn, number), job

    def move(self, job: Job, priority: int, turns: Turns) -> None:
        """Gives a waiting job another priority; its entry under the old priority is void."""
        lane = self._levels[job.priority].lanes[job.lane]
        self.waiting -= 1
        lane.waiting -= 1
        job.priority = priority
        lane.compact()
        self.push(job, turns)

    def gone(self, job: Job, *, served: bool) -> None:
        """Notes that a job waits no longer, because it was assigned or left."""
        self.waiting -= 1
        level = self._levels.get(job.priority)
        lane = level.lanes.get(job.lane) if level is not None else None
        if lane is not None:
            lane.waiting -= 1
            if served:
                lane.take(job)
            else:
                lane.compact()


class Ready:
    """All waiting jobs of a queue."""

    __slots__ = ("lines", "shared", "turns", "waiting")

    def __init__(self) -> None:
        self.lines: dict[Shape, ReadyLine] = {}
        self.shared = Shared()
        self.turns = Turns()
        self.waiting = 0

    def push(self, job: Job) -> ReadyLine:
        """Adds a job whose state is Queued."""
        self.shared.slim(job)
        line = self.lines.get(job.shape)
        if line is None:
            line = self.lines[job.shape] = ReadyLine(job.shape)
        else:
            job.shape = line.shape
        line.push(job, self.turns)
        self.waiting += 1
        return line

    def gone(self, job: Job, *, served: bool) -> None:
        """Notes that a job waits no longer; must be called after its state has changed."""
        line = self.lines[job.shape]
        line.gone(job, served=served)
        self.waiting -= 1
        if served:
            self.turns.serve(job.lane)
        if not line.waiting:
            del self.lines[job.shape]
