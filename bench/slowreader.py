"""Slow reader: one of 1,000 subscribers never reads. What it costs the others, and the hub."""

from __future__ import annotations

import argparse
import http.client
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from asman_shared.units import MIB
from bench.crowd import CrowdProcess
from bench.fanout import HubSystem, client_address, deliver
from bench.measure import Report, rss
from devtools.asman_processes import HubProcess

TOGETHER = 500
"""Changes that are made at once where the reader is to be overrun."""
BESIDE = 20
"""Subscribers that read, where it is."""
IMAGE = "registry.example/" + "a" * 230
"""Of these jobs: it is told with each, so that fewer are enough."""
MOST = 200_000
"""Changes after which it must have been closed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--subscribers", type=int, default=1000, help="of each of two queues [1000]")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each queue [5]")
    parser.add_argument("--changes", type=int, default=30, help="changes of one turn [30]")
    parser.add_argument("--overrun", action=argparse.BooleanOptionalAction, default=True, help="overrun a reader too")


class _Peak:
    """The most memory that a process has while this is entered."""

    def __init__(self, pid: int) -> None:
        self.most = self.before = rss(pid)
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.most = max(self.most, rss(self._pid))

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _overflows(hub: HubProcess) -> int:
    """Connections that the hub has closed because they read too slowly."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return next(
        int(float(line.rpartition(" ")[2])) for line in text.splitlines() if line.startswith("asman_outbox_overflows")
    )


def _delays(system: HubSystem, crowd: CrowdProcess, changes: int) -> list[float]:
    return sorted(1e3 * deliver(system, crowd, 1, system.change)[0] for _ in range(changes))


def run(wanted: argparse.Namespace) -> Report:
    """Measures two queues of one hub in turns, then overruns a reader."""
    report = Report("slowreader")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        hub = HubProcess(Path(folder))
        hub.start()
        stack.callback(hub.kill)
        queues: dict[str, tuple[HubSystem, CrowdProcess]] = {}
        for name, deaf in (("all read", 0), ("one never reads", 1)):
            system = HubSystem(hub.pid, client_address(hub, name.replace(" ", "-")))
            stack.callback(system.close)
            crowd = stack.enter_context(CrowdProcess())
            crowd.dial(system.address, system.protocol, [system.hello] * wanted.subscribers, stalled=deaf)
            deliver(system, crowd, 1, system.change)
            queues[name] = system, crowd
        delays: dict[str, list[list[float]]] = {name: [] for name in queues}
        for _ in range(wanted.rounds):
            for name, (system, crowd) in queues.items():
                delays[name].append(_delays(system, crowd, wanted.changes))
        with_, without = delays["one never reads"], delays["all read"]
        ratios = [median(a) / median(b) for a, b in zip(with_, without, strict=True)]
        report.add("last reader's delay, with one that never reads / without", "x", ratios, "1")
        for name, turns in delays.items():
            report.add(f"{name}: last reader's delay, middle", "ms", [median(turn) for turn in turns])
            report.add(f"{name}: last reader's delay, worst of {wanted.changes}", "ms", [turn[-1] for turn in turns])
        if wanted.overrun:
            _overrun(hub, report)
    report.notes += [
        f"Two queues of one hub with {wanted.subscribers:,} subscribers each; a change is made when the last reader "
        "has had the one before. The delay begins at the submit and holds a commit to disk.",
        f"Overrun: a queue of its own with {BESIDE} that read and one that does not; {TOGETHER} new jobs at once, "
        "again and again, none of which replaces another. What the hub grew by holds these jobs too.",
    ]
    return report


def _overrun(hub: HubProcess, report: Report) -> None:
    """Makes changes until the hub lets go of one that never reads."""
    system = HubSystem(hub.pid, client_address(hub, "overrun"), IMAGE)
    with CrowdProcess() as crowd, _Peak(hub.pid) as peak:
        try:
            crowd.dial(system.address, system.protocol, [system.hello] * (BESIDE + 1), stalled=1)
            begun, made = time.monotonic(), 0
            before = _overflows(hub)
            while _overflows(hub) == before:
                if made >= MOST:
                    raise RuntimeError(f"one that never reads was not closed after {made} changes")
                deliver(system, crowd, TOGETHER, system.change)
                made += TOGETHER
            took = time.monotonic() - begun
        finally:
            system.close()
    report.add("overrun: changes until the one that never reads is closed", "changes", [made])
    report.add("overrun: changes delivered to those who read meanwhile", "changes/s", [made * BESIDE / took])
    report.add("overrun: memory of the hub grew by at most", "MiB", [(peak.most - peak.before) / MIB])
    report.add("overrun: of which the jobs themselves are about", "MiB", [made * 1024 / MIB])
