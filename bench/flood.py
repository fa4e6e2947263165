"""Flood: what a stranger's flood costs a team that works on its own queue of the same hub, and costs the hub."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import asman
from asman_shared.units import KIB, MIB
from bench.comparison import percentile
from bench.flood_generator import KINDS
from bench.measure import Report
from bench.peak import Peak
from devtools.asman_processes import HubProcess

LIMITS: Final = (
    "--limit-submits=address=50/s:200",
    "--limit-queues=120/h:20",
    "--limit-connections=address=100",
    "--limit-bytes=address=256KiB/s:1MiB",
    "--unlimited=none",
)
"""The team has the same limits, of its own address: it submits less than they let pass."""
TEAM: Final = "the-queue-of-the-team"
SUBMITTED: Final = 25
"""Jobs that the team runs a second."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How much, and for how long."""
    parser.add_argument("--rate", type=float, default=600, help="things that the stranger does a second [600]")
    parser.add_argument("--seconds", type=float, default=10, help="of each turn [10]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each kind [3]")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of what the stranger does [{','.join(KINDS)}]")


async def _team(url: str, seconds: float, numbers: list[int]) -> list[float]:
    """The times of the team's jobs from their submission to their result, in milliseconds."""
    taken: list[float] = []
    async with asman.connect(url) as queue:
        begun = time.monotonic()
        due = begun
        while due < begun + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            numbers[0] += 1
            submitted = time.perf_counter()
            job = await queue.submit({"image": "alpine", "command": f"echo {numbers[0]}"})
            await job.wait()
            taken.append(1000 * (time.perf_counter() - submitted))
            due = max(due + 1 / SUBMITTED, time.monotonic())
    return taken


def _turn(hub: HubProcess, wanted: argparse.Namespace, kinds: str, numbers: list[int]) -> tuple[list[float], Any]:
    order = [sys.executable, "-m", "bench.flood_generator", hub.url, str(wanted.rate), kinds]
    with subprocess.Popen(order, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as generator:
        taken = asyncio.run(_team(f"{hub.url}/q/{TEAM}", wanted.seconds, numbers))
        told, _ = generator.communicate("")
    return taken, json.loads(told)


def _disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def run(wanted: argparse.Namespace) -> Report:
    """Measures turns beside an idle generator and beside one that floods."""
    report = Report("flood")
    idle: list[list[float]] = []
    flooded: list[list[float]] = []
    done: list[Any] = []
    numbers = [0]
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        hub = HubProcess(Path(place), *LIMITS)
        hub.start()
        stack.callback(hub.kill)
        worker = subprocess.Popen(
            [sys.executable, "-m", "bench.client_run", f"{hub.url}/q/{TEAM}"], stdout=subprocess.DEVNULL
        )
        stack.callback(worker.wait)
        stack.callback(worker.kill)
        _turn(hub, argparse.Namespace(rate=wanted.rate, seconds=2), "idle", numbers)
        before = _disk(Path(place))
        peak = Peak(hub.pid)
        for _ in range(wanted.rounds):
            idle.append(_turn(hub, wanted, "idle", numbers)[0])
            taken, told = _turn(hub, wanted, wanted.kinds, numbers)
            flooded.append(taken)
            done.append(told)
        peak.end()
        grown = _disk(Path(place)) - before
    ratios = [percentile(a, 0.99) / percentile(b, 0.99) for a, b in zip(flooded, idle, strict=True)]
    report.add("team's p99 beside a flood / beside an idle generator", "x", ratios, "3 at most")
    for name, turns in (("an idle generator", idle), ("a flood", flooded)):
        for share in (0.5, 0.99):
            values = [percentile(turn, share) for turn in turns]
            report.add(f"submit to result beside {name}, p{share * 100:g}", "ms", values)
    report.add("things that the stranger did", "1/s", [told["sent"] / told["seconds"] for told in done])
    report.add("hub's memory, at most beyond that at the start", "MiB", [(peak.most - peak.before) / MIB])
    seconds = wanted.rounds * wanted.seconds
    report.add("disk, grown by", "MiB", [grown / MIB], f"{(1 + seconds * 256 * KIB / MIB) + 20:.0f} at most")
    report.notes += [
        f"Limits: {' '.join(LIMITS)}. The stranger does {wanted.rate:g} things a second from one core: {wanted.kinds}.",
        f"The team runs {SUBMITTED} jobs a second, one after the other, with a worker that ends them at once.",
        f"The stranger's last turn: {done[-1]}",
    ]
    return report
