"""Calls of a Python function through `asman.Executor`, on a worker that runs plain processes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import asman
from bench.measure import Report
from bench.peak import Peak
from devtools.asman_processes import HubProcess

SINGLE = 200


def _small(number: int) -> int:
    return number * number


def measure(report: Report, calls: int) -> None:
    """Adds the figures: many small calls by ``map``, and some by ``submit``, each of which is a job."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--queue", "calls", "--executor", "process", "--cpus", "8", "--drain-timeout", "1s")
        hub = HubProcess(Path(folder), *arguments, command="up")
        hub.start()
        try:
            with asman.Executor(hub.queue("calls")) as executor:
                _measure(report, executor, calls)
        finally:
            hub.terminate()


def _measure(report: Report, executor: asman.Executor, calls: int) -> None:
    executor.submit(_small, 0).result()
    peak = Peak()
    begun = time.perf_counter()
    right = sum(result == number * number for number, result in enumerate(executor.map(_small, range(calls))))
    took = time.perf_counter() - begun
    peak.end()
    report.add(f"Executor.map of {calls:,} small calls", "s", [took])
    report.add("… right results", "calls", [right], str(calls))
    report.add("… calls a second", "calls/s", [calls / took])
    peak.add(report)
    begun = time.perf_counter()
    futures = [executor.submit(_small, number) for number in range(SINGLE)]
    for future in futures:
        future.result()
    report.add(f"Executor.submit of {SINGLE} calls, a job each", "calls/s", [SINGLE / (time.perf_counter() - begun)])
