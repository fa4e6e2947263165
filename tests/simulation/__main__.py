"""``python -m tests.simulation --seeds 1000``: many simulated runs, or one again, or the planted bugs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from build_tools import compiled
from tests.simulation.mutants import MUTANTS, planted
from tests.simulation.world import simulate

CHUNK = 25


def play(seeds: range, mutant: str | None = None) -> tuple[int, list[tuple[int, str]]]:
    """Plays seeds; returns how many events the cores handled, and what went wrong at which seed."""
    logging.disable(logging.CRITICAL)
    events, broken = 0, []
    for seed in seeds:
        try:
            if mutant is None:
                events += simulate(seed).handled
            else:
                with planted(*MUTANTS[mutant]):
                    simulate(seed)
        except Exception as error:
            broken.append((seed, f"{type(error).__name__}: {error}"[:300]))
            if mutant is not None:
                break
    return events, broken


def hunt(mutant: str, most: int) -> tuple[int | None, str]:
    """The number of seeds it took to find a planted bug, and how it showed; None when none found it."""
    _, broken = play(range(most), mutant)
    return (broken[0][0] + 1, broken[0][1]) if broken else (None, "")


def main() -> int:
    """Runs what the arguments ask for; 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="play this one alone, with its traceback")
    parser.add_argument("--each", action="store_true", help="print how many events each seed had")
    parser.add_argument("--compiled", action="store_true", help="of what `make compile` made, not of the sources")
    parser.add_argument("--mutants", action="store_true", help="hunt the planted bugs instead")
    wanted = parser.parse_args()
    if wanted.seed is not None:
        logging.disable(logging.CRITICAL)
        print(f"seed {wanted.seed}: {simulate(wanted.seed).handled} events, every promise kept")
        return 0
    if wanted.compiled and not compiled.in_use():
        parser.error("nothing is compiled: make compile")
    if wanted.each:
        logging.disable(logging.CRITICAL)
        print(*(simulate(seed).handled for seed in range(wanted.first, wanted.first + wanted.seeds)))
        return 0
    begun = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        if wanted.mutants:
            return report_mutants(pool, wanted.seeds)
        last = wanted.first + wanted.seeds
        chunks = [range(at, min(at + CHUNK, last)) for at in range(wanted.first, last, CHUNK)]
        events, broken = 0, []
        for handled, found in pool.map(play, chunks):
            events += handled
            broken += found
    seconds = time.monotonic() - begun
    for seed, error in broken[:20]:
        print(f"seed {seed}: {error}")
    print(
        f"{wanted.seeds} seeds, {events} events in {seconds:.1f} s; {len(broken)} broke a promise"
        + (" (replay one with --seed N)" if broken else "")
    )
    return 1 if broken else 0


def report_mutants(pool: ProcessPoolExecutor, most: int) -> int:
    """Prints how many seeds each planted bug survived; 0 when all were found."""
    missed = 0
    for name, (seeds, how) in zip(MUTANTS, pool.map(hunt, MUTANTS, repeat(most)), strict=True):
        missed += seeds is None
        print(f"{'NOT FOUND' if seeds is None else f'{seeds} seeds':>10}  {name}  ({how[:90]})", flush=True)
    print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} planted bugs found within {most} seeds")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
