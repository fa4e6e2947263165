"""Throughput: jobs that do nothing through one client and one worker, beside the systems that could be used instead."""

from __future__ import annotations

import argparse

from bench.comparison import Comparison, Quantity
from bench.measure import Report
from bench.peers import catalogue
from bench.peers.rounds import Turn, rounds

RATE = Quantity("jobs", "jobs/s")
COST = Quantity("processor time", "µs/job", more_is_better=False)
WARM_UP = 300
"""Jobs of a side's first run, which is not reported; half as many come before, until connections are made."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How much, and beside whom."""
    parser.add_argument("--jobs", type=int, default=10_000, help="most jobs of one run [10000]")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a run: slow sides do fewer jobs [4]")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side has its turn [3]")
    parser.add_argument("--peers", default="", help="only these, such as arq,jetstream; 'none' for Asman alone")


def jobs_of(most: int, seconds: float, rate: float) -> int:
    """How many jobs a run has: as many as a side does in this time at this rate, at least a hundred."""
    return max(min(most, 100), min(most, int(rate * seconds)))


def run(wanted: argparse.Namespace) -> Report:
    """Measures all sides in turn, again and again."""
    report = Report("throughput")
    bases = [catalogue.title(catalogue.FRAMES), catalogue.title(catalogue.LIBRARY)]
    compared = Comparison("throughput", [RATE, COST], bases)
    report.comparisons.append(compared)

    def measure(turn: Turn) -> None:
        turn.side.order("many", jobs=min(wanted.jobs, WARM_UP // 2))
        warm = min(wanted.jobs, WARM_UP)
        rate = warm / turn.side.order("many", jobs=warm)["seconds"]
        jobs = jobs_of(wanted.jobs, wanted.seconds, rate)
        before = turn.side.processor_seconds()
        seconds = turn.side.order("many", jobs=jobs)["seconds"]
        turn.add(RATE, jobs / seconds)
        turn.add(COST, 1e6 * (turn.side.processor_seconds() - before) / jobs)

    rounds(compared, catalogue.chosen(wanted.peers), wanted.rounds, measure)
    report.notes += [
        f"One client, one worker; at most {wanted.jobs:,} jobs a run, or what takes {wanted.seconds:g} s;",
        f"{wanted.rounds} rounds, all sides in turn in each.",
        "A run ends when the client knows every result. Processor time is of server, worker and client together.",
        "Target for Asman's frames: 20,000 jobs/s, 7 times the best Python queue, and above JetStream.",
        *catalogue.words(wanted.peers),
    ]
    return report
