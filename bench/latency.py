"""Latency: from a submit to the worker's start and to the result at the client, beside what could be used instead."""

from __future__ import annotations

import argparse

from bench.comparison import Comparison, Quantity, Row, percentile
from bench.measure import Report
from bench.peers import catalogue, options
from bench.peers.rounds import Turn, jobs_of, rounds, warmed_up

SHARES = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
OF = (("starts", "start"), ("results", "result"))


def _quantity(name: str, share: str) -> Quantity:
    return Quantity(f"{name} {share}", "ms", more_is_better=False, compared=share != "p99.9")


QUANTITIES = [_quantity(name, share) for _, name in OF for share, _ in SHARES]
RATE = Quantity("jobs", "jobs/s", compared=False)
MOST = 10_000
"""Jobs of the run that tells a side's throughput."""
CACHED = "cached result, submit to answer, p50"
TARGETS = (
    "Targets for Asman, one at a time: start 0.3 ms p50 and 1.5 ms p99, result 0.5 ms p50 and 2 ms p99; a cached "
    "result 0.3 ms p50."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """How long, and beside whom."""
    options.add(parser, seconds=1.0, meaning="of each way of submitting")


def run(wanted: argparse.Namespace) -> Report:
    """Measures all sides in turn, again and again."""
    report = Report("latency")
    bases = [catalogue.title(catalogue.LIBRARY)]
    single = Comparison("one at a time", list(QUANTITIES), bases)
    steady = Comparison("at half of the throughput", [RATE, *QUANTITIES], bases)
    report.comparisons += [single, steady]
    cached: dict[str, list[float]] = {}

    def measure(turn: Turn) -> None:
        jobs = jobs_of(MOST, wanted.seconds / 2, warmed_up(turn.side, MOST), turn.side.side.least)
        rate = jobs / turn.side.order("many", jobs=jobs)["seconds"]
        take(turn, single, turn.side.order("singles", seconds=wanted.seconds))
        take(turn, steady, turn.side.order("steady", rate=rate / 2, seconds=wanted.seconds))
        turn.add(RATE, rate / 2, steady)
        if turn.side.side.server.startswith("hub"):
            taken = turn.side.order("cached", seconds=wanted.seconds / 3)["results"]
            cached.setdefault(turn.side.side.title, []).append(percentile(taken, 0.5) / 1000)

    sides = [side for side in wanted.peers if side.latency]
    disk = rounds(single, sides, wanted.rounds, measure)
    steady.rows[:] = [merged(row, steady.row(row.name)) for row in single.rows]
    for title, values in cached.items():
        report.add(f"{title}: {CACHED}", "ms", values, "0.3 ms")
    report.notes += [
        f"One at a time for {wanted.seconds:g} s, then for as long at half of the rate that the side had just reached;",
        "there a job's time counts from when it was due, and each side runs at a rate of its own.",
        f"{wanted.rounds} rounds, all sides in turn in each; medians of the rounds' percentiles.",
        "The worker's start is the clock as the job's first line runs; procrastinate's is that of its own event.",
        TARGETS,
        "HyperQueue is not measured here: its Python interface looks once a second.",
        *disk,
        *catalogue.words(wanted.peers),
    ]
    return report


def take(turn: Turn, into: Comparison, samples: dict[str, list[float]]) -> None:
    """Adds the percentiles, in milliseconds, of samples in microseconds."""
    for key, name in OF:
        for share, part in SHARES:
            turn.add(_quantity(name, share), percentile(samples[key], part) / 1000, into)


def merged(row: Row, other: Row | None) -> Row:
    """What was found, with the words of another row on the same side."""
    values = other.values if other is not None else {}
    return Row(row.name, row.version, row.durability, values, row.missing, row.bases)
