"""Where the hub spends its time: processor time per small job, by thread, by function and in instructions."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import logging
import pstats
import tempfile
from pathlib import Path

import uvloop

from asman_server.gc_tuning import look_seldom
from bench.hub_in_process import Cost, HubInProcess
from bench.instructions import instructions
from bench.measure import Report

WARM_UP = 2000
"""Jobs before anything is measured."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many, and how deep to look."""
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of one run [10000]")
    parser.add_argument("--runs", type=int, default=8, help="how often, on one growing database [8]")
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="print the N costliest functions, too")
    parser.add_argument("--sources", action="store_true", help="not what is compiled; --functions can't see into that")
    parser.add_argument("--no-instructions", action="store_true", help="leave valgrind out")


async def _measure(jobs: int, runs: int, functions: int) -> list[Cost]:
    with tempfile.TemporaryDirectory() as folder:
        async with HubInProcess.open(Path(folder)) as hub:
            await hub.run(WARM_UP, -1)
            costs = [await hub.run(jobs, number) for number in range(runs)]
            if functions:
                profile = cProfile.Profile()
                with profile:
                    await hub.run(jobs, runs)
                pstats.Stats(profile).sort_stats("tottime").print_stats(functions)
            return costs


def run(wanted: argparse.Namespace) -> Report:
    """Measures in this process; instructions are counted in others."""
    logging.disable(logging.INFO)
    look_seldom()
    report = Report("profile")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        costs = runner.run(_measure(wanted.jobs, wanted.runs, wanted.functions))
    each = 1e6 / wanted.jobs
    report.add("processor time for each job: event loop", "µs", [cost.loop * each for cost in costs])
    report.add("processor time for each job: writing", "µs", [cost.writer * each for cost in costs])
    report.add("processor time for each job: both", "µs", [(cost.loop + cost.writer) * each for cost in costs])
    report.add("jobs, without sockets and with peers that cost little", "jobs/s", [wanted.jobs / c.wall for c in costs])
    report.add("bytes written to the database's files for each job", "bytes", [c.written / wanted.jobs for c in costs])
    report.add("commits of a run", "", [float(cost.commits) for cost in costs])
    if not wanted.no_instructions:
        for name, count in instructions().items():
            report.add(f"instructions: {name}", "thousand", [count / 1000])
    report.notes += [
        f"{wanted.jobs:,} jobs a run on one growing database (the spread is mostly that); SQLite, every commit synced.",
        "Sessions, shell, core, commits and database are the hub's own; there are no sockets, and the peers' time is "
        "left out. Instructions are callgrind's, for one call, the interpreter's included.",
    ]
    return report
