"""Depth: what 10, 10,000 and 1,000,000 queued jobs cost, in the core alone and in a real hub on SQLite."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from statistics import median
from typing import Any

from bench.depth_hub import measure
from bench.measure import Report

SMALL = (10, 10_000)
RUNS = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--jobs", type=int, default=1_000_000, help="the deepest queue")


def _core(depths: list[int]) -> dict[str, Any]:
    """Measures the core in a process of its own."""
    command = [sys.executable, "-m", "bench.depth_core", *map(str, depths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1200)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(wanted: argparse.Namespace) -> Report:
    """Measures all of it."""
    report = Report("depth")
    depths = [*(depth for depth in SMALL if depth < wanted.jobs), wanted.jobs]
    runs = [_core(depths) for _ in range(RUNS)]
    for depth in depths[1:]:
        target = "1,024 at 1,000,000" if depth == wanted.jobs else ""
        each = [found[str(depth)]["bytes"] for found in runs]
        report.add(f"core: memory per queued job, {depth:,} queued", "bytes", each, target)
    for depth in depths[1:]:
        ratios = [median(found[str(depth)]["finish"]) / median(found[str(depths[0])]["finish"]) for found in runs]
        target = "at most 1.2 at 1,000,000" if depth == wanted.jobs else ""
        report.add(f"core: finish and assign the next, {depth:,} against {depths[0]}", "x", ratios, target)
    for depth in depths:
        report.add(
            f"core: finish and assign the next, {depth:,} queued",
            "µs",
            [median(found[str(depth)]["finish"]) for found in runs],
        )
    for depth in depths:
        report.add(f"core: submit, {depth:,} queued", "µs", [median(found[str(depth)]["submit"]) for found in runs])
    asyncio.run(measure(report, wanted.jobs))
    report.notes += [
        f"Core: medians of {RUNS} processes; in each, the depths take turns. Memory is the growth of the resident set.",
        "Hub: one process, SQLite, every commit synced (synchronous=FULL); queued jobs of four shapes.",
        "Each job has its own command and environment (about 100 bytes of definition, which stays in the database).",
    ]
    return report
