"""``python -m tests.fuzz --minutes 20``: feeds all doors with mutated inputs, or repeats one input."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from tests.fuzz.doors import DOORS, hunt, leave_interrupts_to_the_parent, play_alone
from tests.fuzz.mutants import MUTANTS
from tests.fuzz.play import Played, once


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="time for all doors together, on all CPUs")
    parser.add_argument("--door", choices=DOORS, help="this one alone")
    parser.add_argument("--seed", type=int, default=0, help="decides all mutations")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give this input to --door, with its traceback")
    parser.add_argument("--mutants", action="store_true", help="hunt the planted faults, in --minutes at most")
    return parser


def _told(name: str, played: Played) -> str:
    rate = played.inputs / max(played.seconds, 0.001)
    line = f"{name:>16}  {played.inputs:>9} inputs in {played.seconds:.0f} s ({rate:.0f} a second)"
    if not played.fault:
        return f"{line}, no fault"
    replay = f"\n{'':>18}python -m tests.fuzz --door {name} --replay {os.path.relpath(played.file or '')}"
    return f"{line}, FAULT: {played.fault}{replay if played.file else ''}"


def main() -> int:
    """Runs the commands in the arguments; returns 0 if no door had a fault."""
    parser = _arguments()
    wanted = parser.parse_args()
    if wanted.replay is not None:
        if wanted.door is None:
            parser.error("--replay needs --door")
        door = DOORS[wanted.door]()
        with door.opened():
            once(door, door.load(wanted.replay))
            door.finish()
        print(f"{wanted.replay}: no fault")
        return 0
    if wanted.mutants:
        return _hunt_all(wanted.seed, wanted.minutes, wanted.door)
    names = [wanted.door] if wanted.door else list(DOORS)
    workers = min(os.cpu_count() or 1, len(names))
    seconds = wanted.minutes * 60 * workers / len(names)
    faults = 0
    with _pool(workers) as pool:
        running = {pool.submit(play_alone, name, wanted.seed, seconds): name for name in names}
        for done in as_completed(running):
            played = done.result()
            faults += bool(played.fault)
            print(_told(running[done], played), flush=True)
    print(f"{faults} of {len(names)} doors had a fault (seed {wanted.seed})")
    return 1 if faults else 0


def _hunt_all(seed: int, minutes: float, door: str | None) -> int:
    """Prints how many inputs each planted fault survived; returns 0 if all were found."""
    names = [name for name, (of, *_) in MUTANTS.items() if door in (None, of)]
    workers = min(os.cpu_count() or 1, len(names))
    seconds = minutes * 60 * workers / len(names)
    missed = 0
    with _pool(workers) as pool:
        hunted = pool.map(hunt, names, [seed] * len(names), [seconds] * len(names))
        for name, played in zip(names, hunted, strict=True):
            missed += not played.fault
            found = f"{played.inputs} inputs, {played.seconds:.1f} s" if played.fault else "NOT FOUND"
            print(f"{found:>24}  {MUTANTS[name][0]}: {name}  ({played.fault[:90]})", flush=True)
    print(f"{len(names) - missed} of {len(names)} planted faults found")
    return 1 if missed else 0


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=leave_interrupts_to_the_parent)


if __name__ == "__main__":
    sys.exit(main())
