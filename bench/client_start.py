"""How long the command line takes to begin, in units of a Python that does nothing."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.measure import Report
from devtools.asman_processes import HubProcess, asman_command, clean_environment

ROUNDS = 15
TARGETS = {"asman --help": "at most 6", "asman job list": "at most 12"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what can be chosen where this is compared alone (``make bench NAME=startup COMPARE=…``)."""
    parser.add_argument("--turns", type=int, default=ROUNDS, help=f"starts of each command [{ROUNDS}]")


def run(wanted: argparse.Namespace) -> Report:
    """Measures the starts alone."""
    report = Report("startup")
    measure(report, wanted.turns)
    return report


def _seconds(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=clean_environment())
    return time.perf_counter() - begun


def measure(report: Report, turns: int = ROUNDS) -> None:
    """Adds the figures; the three take turns, so that what else the machine does falls on all of them."""
    with tempfile.TemporaryDirectory() as folder:
        hub = HubProcess(Path(folder))
        hub.start()
        try:
            commands = {
                "python -c pass": [sys.executable, "-c", "pass"],
                "asman --help": [*asman_command(), "--help"],
                "asman job list": [*asman_command(), "job", "list", hub.queue("start")],
            }
            taken: dict[str, list[float]] = {name: [] for name in commands}
            for turn in range(turns + 1):
                for name, command in commands.items():
                    seconds = _seconds(command)
                    if turn:  # the first warms the machine
                        taken[name].append(seconds)
        finally:
            hub.terminate()
    base = median(taken["python -c pass"])
    for name, times in taken.items():
        report.add(name, "ms", [each * 1000 for each in times])
        if name != "python -c pass":
            report.add("… in times of python -c pass", "×", [each / base for each in times], TARGETS[name])
