"""Sides take turns: A B C, A B C, …; one that fails or is not there is told with its reason, and the others go on."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError

from bench.comparison import Comparison, Quantity, Row, short
from bench.measure import sync_millis
from bench.peers import catalogue
from bench.peers.catalogue import Side
from bench.peers.environments import version_of
from bench.peers.running import Running, SideFailed, running
from bench.peers.servers import NotSetUp, Servers

FIRST = 20
"""Jobs of a side's first run, in which connections are made."""
WARM_UP = 300
"""Most jobs of its second run, which tells about how fast it is."""
WARM_UP_SECONDS = 0.5


@dataclass
class Turn:
    """One side in one round.

    Attributes:
        side: It, running.
        number: Of the round, from 0.
    """

    side: Running
    number: int
    comparison: Comparison

    def add(self, quantity: Quantity, value: float, comparison: Comparison | None = None) -> None:
        """Takes in a value."""
        into = comparison or self.comparison
        row = into.row(self.side.side.title)
        if row is None:
            row = Row(self.side.side.title)
            into.rows.append(row)
        row.add(self.number, quantity.name, value)


def jobs_of(most: int, seconds: float, rate: float, least: int) -> int:
    """How many jobs a run has: as many as a side does in this time at this rate, but ``least`` at least."""
    return max(min(most, least), min(most, int(rate * seconds)))


def warmed_up(side: Running, most: int) -> float:
    """Runs a few jobs, so that nothing is done for the first time when it counts; returns about how many a second."""
    first = min(most, FIRST)
    rate = first / side.order("many", jobs=first)["seconds"]
    jobs = jobs_of(min(most, WARM_UP), WARM_UP_SECONDS, rate, first)
    return float(jobs / side.order("many", jobs=jobs)["seconds"])


def rounds(comparison: Comparison, sides: Sequence[Side], count: int, measure: Callable[[Turn], None]) -> list[str]:
    """Fills a comparison; returns what is to be known of the disk that all of them wrote to.

    Args:
        comparison: Gets a row for each side.
        sides: In the order of each round.
        count: How many rounds.
        measure: Is given each turn, with the side just started.
    """
    left_out: set[str] = set()
    for side in sides:
        beside = [catalogue.title(side.beside)] if side.beside else []
        comparison.rows.append(Row(side.title, durability=side.durability, bases=beside))
    with tempfile.TemporaryDirectory(prefix="asman-bench-") as name, Servers(Path(name)) as servers:
        synced = [sync_millis(Path(name))]
        for number in range(count):
            for side in sides:
                if side.title in left_out:
                    continue
                row = comparison.row(side.title)
                assert row is not None
                _say(f"round {number + 1} of {count}: {side.title}")
                try:
                    with running(side, servers, Path(name) / f"{side.name}-{number}") as run:
                        row.version = _version(side, run)
                        measure(Turn(run, number, comparison))
                except NotSetUp as error:
                    row.missing = f"not measured: {error}"
                    left_out.add(side.title)
                except (SideFailed, CalledProcessError, OSError, AssertionError) as error:
                    row.missing = f"failed in round {number + 1}: {_last_line(error)}"
                    _say(f"{side.title} failed: {error}")
            synced.append(sync_millis(Path(name)))
    return [f"A synced write of 4 KiB took {short(min(synced))} to {short(max(synced))} ms (medians before and after)."]


def _version(side: Side, run: Running) -> str:
    own = f"{side.package} {version_of(side.environment, side.package)}"
    return f"{own} with {run.server.version}" if run.server.version else own


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else type(error).__name__


def _say(sentence: str) -> None:
    """Reports the progress, apart from the tables."""
    print(sentence, file=sys.stderr, flush=True)
