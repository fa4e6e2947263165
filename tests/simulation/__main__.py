"""``python -m tests.simulation --seeds 1000``: plays many simulated runs, repeats one, or hunts the planted bugs."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import repeat
from pathlib import Path
from typing import Final

from build_tools import compiled
from tests.simulation.faults import FAULTS, UnknownFaultError, weights_of
from tests.simulation.mutants import LIKELIER, MUTANTS
from tests.simulation.plan import draw_plan, read_plan, write_plan
from tests.simulation.shrink import Broken, shrink
from tests.simulation.shrink import play as play_one
from tests.simulation.world import World, play_plan, simulate
from tests.support.planting import planted

CHUNK = 20
"""Number of seeds that a process plays before it reports."""
TELL_SECONDS = 10.0
"""Time between two lines of progress, in seconds."""
MOST_TOLD = 20
"""Largest number of broken seeds that are printed."""
PLANS = Path(__file__).parents[2] / ".run" / "simulation-plans"
"""Folder for shrunk plans."""

ROOMS: Final = ("core", "delivery", "dialect", "logs", "queues", "sessions", "storage")
WIRE: Final = (
    "client_messages",
    "codec",
    "definition",
    "encoded",
    "log_messages",
    "messages",
    "records",
    "states",
    "worker_messages",
)

PLAYED: Final = (*(f"asman_server.{room}." for room in ROOMS), *(f"asman_shared.{name}." for name in WIRE))
"""Beginnings of the names of the modules that `fingerprint` covers."""

Weights = dict[str, float]
_USUAL: Final[Weights] = {name: fault.weight for name, fault in FAULTS.items()}
Found = list[tuple[int, str]]


def play(seeds: Sequence[int], mutant: str | None = None, weights: Weights | None = None) -> tuple[int, Found]:
    """Plays seeds; returns the number of events that the cores handled, and the error of each broken seed."""
    logging.disable(logging.CRITICAL)
    events, broken = 0, []
    for seed in seeds:
        try:
            if mutant is None:
                events += simulate(seed, weights).handled
            else:
                with planted(*MUTANTS[mutant]):
                    simulate(seed, weights)
        except Exception as error:
            broken.append((seed, f"{type(error).__name__}: {error}"[:300]))
            if mutant is not None:
                break
    return events, broken


def hunt(mutant: str, most: int, weights: Weights | None = None) -> tuple[int | None, str]:
    """Returns the number of seeds it took to find a planted bug, and its error; None if no seed found it.

    Only a broken promise counts: another error is one of the planted code itself.
    """
    likelier = {**_USUAL, **LIKELIER[mutant]} if mutant in LIKELIER else None
    _, broken = play(range(most), mutant, weights or likelier)
    if not broken:
        return None, ""
    seed, error = broken[0]
    return (seed + 1 if error.startswith(AssertionError.__name__) else None), error


def fingerprint() -> str:
    """Returns twelve digits that stand for the sources of the rooms that keep the promises which are judged.

    Runs with the same digits add up, whatever else the commits between them changed.
    """
    digest = hashlib.sha256()
    for name in sorted(sys.modules):
        if f"{name}.".startswith(PLAYED):
            digest.update(_source_of(name).read_bytes())
    return digest.hexdigest()[:12]


def _source_of(name: str) -> Path:
    """Returns the source of a module. Compiled modules don't all know their own file, but packages do."""
    if hasattr(sys.modules[name], "__path__"):
        return Path(sys.modules[name].__path__[0], "__init__.py")
    package, _, module = name.rpartition(".")
    return Path(sys.modules[package].__path__[0], f"{module}.py")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="play this one alone, with its traceback")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="play a plan that --shrink wrote, with its traceback")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="find the fewest events that break this seed")
    parser.add_argument("--shrink-seconds", type=float, default=120.0, help="time for that, in seconds")
    parser.add_argument("--show", action="store_true", help="print the plan of --seed before it is played")
    parser.add_argument("--faults", help=f"only these, with commas between them: {', '.join(FAULTS)}")
    parser.add_argument(
        "--weight", action="append", default=[], metavar="NAME=N", help="how often a fault is chosen beside the others"
    )
    parser.add_argument("--each", action="store_true", help="print how many events each seed had")
    parser.add_argument("--compiled", action="store_true", help="refuse to run on the sources of the hub")
    parser.add_argument("--sources", action="store_true", help="run on the sources of the hub")
    parser.add_argument("--mutants", action="store_true", help="hunt the planted bugs, each with --seeds at most")
    return parser


def main() -> int:
    """Runs the commands in the arguments; returns 0 if every promise was kept."""
    parser = _arguments()
    wanted = parser.parse_args()
    if wanted.seeds < 1 or wanted.first < 0:
        parser.error("--seeds counts from 1, --first from 0")
    try:
        weights = weights_of(wanted.faults, wanted.weight) if wanted.faults or wanted.weight else None
    except UnknownFaultError as error:
        parser.error(str(error))
    if wanted.compiled and not compiled.in_use():
        parser.error("nothing is compiled: make compile")
    logging.disable(logging.CRITICAL)
    if wanted.plan is not None:
        print(f"{wanted.plan}: {play_plan(World(read_plan(wanted.plan.read_bytes()))).handled} events, {_KEPT}")
        return 0
    if wanted.seed is not None:
        if wanted.show:
            print(draw_plan(wanted.seed, weights).told(), flush=True)
        print(f"seed {wanted.seed}: {simulate(wanted.seed, weights).handled} events, {_KEPT}")
        return 0
    if wanted.shrink is not None:
        return _shrink(wanted.shrink, weights, wanted.shrink_seconds)
    if wanted.each:
        print(*(simulate(seed, weights).handled for seed in range(wanted.first, wanted.first + wanted.seeds)))
        return 0
    with ProcessPoolExecutor(os.cpu_count(), initializer=_leave_interrupts_to_the_parent) as pool:
        if wanted.mutants:
            return report_mutants(pool, wanted.seeds, weights)
        return _play_all(pool, range(wanted.first, wanted.first + wanted.seeds), weights)


_KEPT = "every promise kept"


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _play_all(pool: ProcessPoolExecutor, seeds: range, weights: Weights | None) -> int:
    """Plays seeds in all processes; prints the progress, and each broken seed as soon as it is known."""
    begun = told = time.monotonic()
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    running: dict[Future[tuple[int, Found]], range] = {pool.submit(play, each, None, weights): each for each in chunks}
    events = played = broken = 0
    try:
        while running:
            done, _ = wait(running, timeout=TELL_SECONDS, return_when=FIRST_COMPLETED)
            for each in done:
                played += len(running.pop(each))
                handled, found = each.result()
                events += handled
                for seed, error in found[: max(0, MOST_TOLD - broken)]:
                    print(f"seed {seed}: {error}", flush=True)
                broken += len(found)
            now = time.monotonic()
            if now - told >= TELL_SECONDS and running and played:
                told = now
                left = (now - begun) / played * (len(seeds) - played)
                line = f"  {played} of {len(seeds)} seeds, {broken} broken, {left:.0f} s left"
                print(line, file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        for each in running:
            each.cancel()
        print("interrupted", file=sys.stderr)
    seconds = time.monotonic() - begun
    print(
        f"{played} seeds from {seeds.start} on, {events} events in {seconds:.1f} s ({events / seconds:.0f} a second, "
        f"{'compiled' if compiled.in_use() else 'from source'}, sources {fingerprint()}); {broken} broke a promise"
        + (" (replay one with --seed N, or --shrink N)" if broken else "")
    )
    return 1 if broken or played < len(seeds) else 0


def _shrink(seed: int, weights: Weights | None, seconds: float) -> int:
    found = play_one(draw_plan(seed, weights))
    if found is None:
        print(f"seed {seed}: {_KEPT}; there is nothing to shrink")
        return 0
    print(f"seed {seed}: {found.error}\n{len(found.plan.items)} items, {found.events} events", flush=True)

    def tell(smaller: Broken) -> None:
        print(f"  {len(smaller.plan.items)} items, {smaller.events} events", file=sys.stderr, flush=True)

    least = shrink(found, seconds, tell)
    PLANS.mkdir(parents=True, exist_ok=True)
    path = PLANS / f"seed-{seed}.json"
    path.write_bytes(write_plan(least.plan))
    print(f"{least.plan.told()}\n{least.error}")
    print(f"{len(least.plan.items)} items, {least.events} events; play it with --plan {os.path.relpath(path)}")
    return 1


def report_mutants(pool: ProcessPoolExecutor, most: int, weights: Weights | None = None) -> int:
    """Prints how many seeds each planted bug survived; returns 0 if all were found."""
    missed = 0
    hunted = pool.map(hunt, MUTANTS, repeat(most), repeat(weights))
    for name, (seeds, how) in zip(MUTANTS, hunted, strict=True):
        missed += seeds is None
        print(f"{'NOT FOUND' if seeds is None else f'{seeds} seeds':>10}  {name}  ({how[:90]})", flush=True)
    print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} planted bugs found within {most} seeds")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
