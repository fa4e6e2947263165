"""Feeds a door with its corpus and mutations of it."""

from __future__ import annotations

import hashlib
import json
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.door import Door, Fault

FOUND = Path(__file__).parents[2] / ".run" / "fuzz"
"""Folder for inputs that show a fault."""
GROWTH = 512 * 1024
"""Largest growth of the process over a run, in KiB."""
_POOL = 400
"""Number of inputs that are kept for further mutations."""


@dataclass(slots=True)
class Played:
    """The result of feeding a door.

    Attributes:
        inputs: Number of inputs.
        seconds: Time of it, in seconds.
        fault: What was wrong; empty for nothing.
        file: The input that shows it.
    """

    inputs: int
    seconds: float
    fault: str = ""
    file: Path | None = None


def play(
    door: Door,
    seed: int,
    *,
    seconds: float = float("inf"),
    inputs: int | None = None,
    keep: bool = True,
    enough: Callable[[], bool] = bool,
) -> Played:
    """Feeds a door until the time or the number of inputs is over, or it has a fault.

    Args:
        door: The door.
        seed: Decides all mutations.
        seconds: The time, in seconds.
        inputs: The number of inputs, those of the corpus included; None for any.
        keep: Whether to write the input of a fault to a file.
        enough: Returns true where no more inputs are needed.
    """
    dice = random.Random(f"{door.name} {seed}")
    seeds: list[Any] = []
    turn, count, begun = 0, 0, time.monotonic()
    before = _peak()
    given: Any = None

    def played(fault: str = "", file: Path | None = None) -> Played:
        return Played(count, time.monotonic() - begun, fault, file)

    with door.opened():
        seeds = door.seeds()
        pool = list(seeds)
        while (inputs is None or count < inputs) and time.monotonic() - begun < seconds and not enough():
            given = seeds[turn] if turn < len(seeds) else door.another(dice, pool, seeds)
            turn += 1
            try:
                once(door, given)
            except Exception as error:
                count += door.inputs
                return played(_described(error), keep_input(door, given) if keep else None)
            count += door.inputs
            if turn > len(seeds) and dice.random() < 0.1 and _size(given) < 4_000:
                if len(pool) < _POOL:
                    pool.append(given)
                else:
                    pool[dice.randrange(len(seeds), _POOL)] = given
        try:
            door.finish()
        except Exception as error:
            return played(_described(error), keep_input(door, given) if keep else None)
        if _peak() - before > GROWTH:
            return played(f"the process grew by {(_peak() - before) // 1024} MiB")
    return played()


def _described(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error!s:.300} ({Path(where.filename).name}:{where.lineno})"


def once(door: Door, given: Any) -> None:
    """Gives one input to a door, with its bound of time."""
    with _bounded(door.seconds + _size(given) / 100_000):
        door.check(given)


def keep_input(door: Door, given: Any) -> Path:
    """Writes an input to a file for ``--replay``."""
    data = door.dump(given)
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / f"{door.name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def _size(given: Any) -> int:
    return len(given) if isinstance(given, str) else len(json.dumps(given))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Interrupts a block that takes more CPU time."""

    def late(*_: object) -> None:
        raise Fault(f"an input took more than {seconds:.1f} s of CPU time")

    former = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
