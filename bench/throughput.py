"""Throughput: jobs that do nothing through one client and one worker, beside the systems that could be used instead."""

from __future__ import annotations

import argparse

from bench.comparison import Comparison, Quantity
from bench.measure import Report
from bench.peers import catalogue, options
from bench.peers.rounds import Turn, jobs_of, rounds, warmed_up

RATE = Quantity("jobs", "jobs/s")
HUB = Quantity("hub's processor time", "µs/job", more_is_better=False)
COST = Quantity("processor time", "µs/job", more_is_better=False)


def arguments(parser: argparse.ArgumentParser) -> None:
    """How much, and beside whom."""
    parser.add_argument("--jobs", type=options.some_jobs, default=10_000, help="most jobs of one run [10000]")
    options.add(parser, seconds=4.0, meaning="of a run: slow sides do fewer jobs")


def run(wanted: argparse.Namespace) -> Report:
    """Measures all sides in turn, again and again."""
    report = Report("throughput")
    bases = [catalogue.title(catalogue.FRAMES), catalogue.title(catalogue.LIBRARY)]
    compared = Comparison("throughput", [RATE, COST, HUB], bases)
    report.comparisons.append(compared)

    def measure(turn: Turn) -> None:
        jobs = jobs_of(wanted.jobs, wanted.seconds, warmed_up(turn.side, wanted.jobs), turn.side.side.least)
        before, hub_before = turn.side.processor_seconds(), turn.side.hub_seconds()
        seconds = turn.side.order("many", jobs=jobs)["seconds"]
        turn.add(RATE, jobs / seconds)
        turn.add(COST, 1e6 * (turn.side.processor_seconds() - before) / jobs)
        if hub_before is not None:
            turn.add(HUB, 1e6 * ((turn.side.hub_seconds() or 0.0) - hub_before) / jobs)

    disk = rounds(compared, wanted.peers, wanted.rounds, measure)
    report.notes += [
        f"One client, one worker; at most {wanted.jobs:,} jobs a run, or what takes {wanted.seconds:g} s;",
        f"{wanted.rounds} rounds, all sides in turn in each.",
        "A run ends when the client knows every result. Processor time is of server, worker and client together,",
        "so a worker that looks for jobs all the time has it while it waits for a disk, too.",
        "Target for Asman's frames: 20,000 jobs/s, 7 times the best Python queue, and above JetStream.",
        "Servers live through all rounds; each turn has a queue of its own on the hub, and a Redis without keys.",
        *disk,
        *catalogue.words(wanted.peers),
    ]
    return report
