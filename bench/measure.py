"""How every scenario measures and reports: medians with their spread, the machine, a table and a JSON file."""

from __future__ import annotations

import gc
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil
from rich.console import Console
from rich.table import Table

from bench.comparison import Comparison, short, spread
from build_tools import compiled

RESULTS = Path(__file__).parent / "results"
SYNCS = 50
"""Writes that tell how long one takes."""


def rss(pid: int | None = None) -> int:
    """Resident bytes of a process, or of this one after its garbage is collected."""
    if pid is None:
        gc.collect()
    return int(psutil.Process(pid).memory_info().rss)


def sync_millis(folder: Path) -> float:
    """How long this disk takes to make a small write durable: the median of some, in milliseconds."""
    taken = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(1000 * (time.perf_counter() - begun))
    (folder / "synced").unlink()
    return median(taken)


def machine(*, compiled_too: bool = True) -> str:
    """What this was measured on, and whether the hub of this checkout is compiled."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = psutil.virtual_memory().total / 2**30
    hub = f"hub {'not ' if compiled.state() == 'none' else ''}compiled, " if compiled_too else ""
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {hub}load {os.getloadavg()[0]:.1f}"
    )


@dataclass
class Figure:
    """One measured quantity.

    Attributes:
        name: What it is.
        unit: Of all its values.
        values: One per run.
        target: What it is meant to be, in words.
    """

    name: str
    unit: str
    values: list[float]
    target: str = ""

    @property
    def median(self) -> float:
        """The middle of the runs."""
        return median(self.values)

    @property
    def spread(self) -> str:
        """The least and the greatest of the runs."""
        if len(self.values) < 2:
            return "one run"
        return spread(self.values)


@dataclass
class Report:
    """All that a scenario found.

    Attributes:
        comparisons: Systems measured side by side; their ratios are printed before anything else.
        notes: What has to be known to read the figures, such as how durable each side was.
    """

    scenario: str
    figures: list[Figure] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    machine: str = field(default_factory=machine)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def add(self, name: str, unit: str, values: Sequence[float], target: str = "") -> Figure:
        """Takes a figure in and returns it."""
        figure = Figure(name, unit, list(values), target)
        self.figures.append(figure)
        return figure

    def publish(self) -> Path:
        """Prints the table and writes the JSON; returns its path."""
        console = Console(width=140)
        for comparison in self.comparisons:
            comparison.settle()
            for each in comparison.tables():
                console.print(each)
        for sentence in dict.fromkeys(word for comparison in self.comparisons for word in comparison.words()):
            console.print(sentence, highlight=False)
        table = Table(title=self.scenario, title_justify="left")
        for name, right in (("", False), ("median", True), ("unit", False), ("spread", True), ("target", False)):
            table.add_column(name, justify="right" if right else "left")
        for figure in self.figures:
            table.add_row(figure.name, short(figure.median), figure.unit, figure.spread, figure.target)
        if self.figures:
            console.print(table)
        for note in self.notes:
            console.print(note, highlight=False)
        console.print(f"{self.date}; {self.machine}", highlight=False)
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.scenario}-{time.strftime('%Y%m%d-%H%M%S')}.json"
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
        console.print(f"written to {path.relative_to(RESULTS.parents[1])}", highlight=False)
        return path
