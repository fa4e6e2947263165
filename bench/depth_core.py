"""The queue core alone at several depths: memory of a queued job, and what the next assignment costs.

Run as a module of its own (``python -m bench.depth_core DEPTH …``), so that memory is measured in a fresh process;
prints JSON.
"""

from __future__ import annotations

import gc
import json
import sys
from itertools import count
from time import perf_counter_ns
from typing import Any

from asman_server.core import QueueCore
from asman_server.core import effects as fx
from asman_server.core import events as ev
from asman_shared.messages import Outcome, Register
from asman_shared.units import GIB
from bench.depth_jobs import submitted
from bench.measure import rss

ROUNDS = 15
CYCLES = 500
INCARNATION = "bench-worker-0001"
HELD = 8
"""Jobs that the worker holds at once."""
NOW = 1_700_000_000_000


class Bench:
    """One queue of a depth with a worker that is always full."""

    def __init__(self, depth: int, numbers: count[int]) -> None:
        self.core = QueueCore()
        self.finish: list[float] = []
        self.submit: list[float] = []
        self._numbers = numbers
        self._held: list[fx.Assign] = []
        gc.collect()
        before = rss()
        for number in range(depth):
            self._do(submitted(next(numbers)), NOW + number // 20)
        self.bytes_each = (rss() - before) / depth
        self._do(ev.WorkerJoined(1, Register(INCARNATION, "bench", cpus=HELD, memory=100 * GIB)), NOW)
        while self.core.ready.waiting < depth:
            self._do(submitted(next(numbers)), NOW)

    def _do(self, event: ev.Event, now: int) -> None:
        for effect in self.core.handle(event, now):
            if isinstance(effect, fx.Assign):
                self._held.append(effect)

    def round(self) -> None:
        """Submits and finishes as many jobs as a round has; the depth stays what it is."""
        events = [submitted(next(self._numbers)) for _ in range(CYCLES)]
        outcome = Outcome(kind="exited", exit_code=0)
        finishing = submitting = 0
        handle = self.core.handle
        for event in events:
            begun = perf_counter_ns()
            handle(event, NOW)
            submitting += perf_counter_ns() - begun
            done = self._held.pop(0)
            end = ev.AttemptFinished(INCARNATION, done.job.id, done.attempt, outcome)
            begun = perf_counter_ns()
            effects = handle(end, NOW)
            finishing += perf_counter_ns() - begun
            self._held += [effect for effect in effects if isinstance(effect, fx.Assign)]
            handle(ev.Settled(done.job.id, done.job.queued, done.job.rev), NOW)
        self.finish.append(finishing / CYCLES / 1000)
        self.submit.append(submitting / CYCLES / 1000)


def main() -> None:
    """Measures at the depths given, interleaved, and prints what it found."""
    numbers = count()
    benches = {int(depth): Bench(int(depth), numbers) for depth in sys.argv[1:]}
    for _ in range(ROUNDS):
        for bench in benches.values():
            bench.round()
    found: dict[str, Any] = {
        str(depth): {"bytes": bench.bytes_each, "finish": bench.finish, "submit": bench.submit}
        for depth, bench in benches.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
