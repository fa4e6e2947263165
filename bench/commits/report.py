"""The result of a comparison, as tables for a person and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.commits.rounds import Outcome, Paired
from bench.commits.sides import Side
from bench.comparison import short
from bench.measure import machine

WIDTH = 140
"""Columns of the tables."""
NOTHING = "–"


@dataclass
class Result:
    """A whole comparison.

    Attributes:
        sides: The commit, then the working tree.
        rounds: How many each scenario had.
        quick: Whether the sizes were those that only try it.
        outcomes: One per scenario.
        machine: What it was measured on.
        date: When it began.
    """

    sides: tuple[Side, Side]
    rounds: int
    quick: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    machine: str = field(default_factory=lambda: machine(compiled_too=False))
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def publish(self, root: Path) -> Path:
        """Prints the tables and writes the JSON into the results of a checkout; returns its path."""
        console = Console(width=WIDTH)
        for outcome in self.outcomes:
            console.print(table_of(outcome, self.sides))
        for note in self.notes():
            console.print(note, highlight=False)
        folder = root / "bench" / "results"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"commits-{time.strftime('%Y%m%d-%H%M%S')}.json"
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n")
        console.print(f"written to {path.relative_to(root)}", highlight=False)
        return path

    def notes(self) -> list[str]:
        """Returns what has to be known to read the tables."""
        kind = "compiled" if self.sides[0].compiled else "not compiled"
        return [
            *(note for outcome in self.outcomes for note in outcome.notes),
            f"{self.sides[0].name}: {self.sides[0].about}; {self.sides[1].name}: {self.sides[1].about}; both {kind}.",
            f"{self.rounds} rounds, the two in turns: A B, B A, A B, …; medians of the rounds.",
            "Better by: the geometric mean of the rounds' ratios. Above 1 the working tree is better, which is",
            "more of a rate, and less of a time or of memory.",
            "Interval: of that mean, at 95 % (Student's t on the logarithms). Better or worse: the interval is on",
            "one side of 1, and the mean 1 % away from it. Where nothing differs, up to 1 figure in 20 says so.",
            "Noise: how much the values of one side differ between rounds (standard deviation of their logarithms).",
            *(["The sizes only try the comparison: these figures mean nothing."] if self.quick else []),
            f"{self.date}; {self.machine}",
        ]

    def as_json(self) -> dict[str, Any]:
        """Returns all of it for a program."""
        return {
            "date": self.date,
            "machine": self.machine,
            "rounds": self.rounds,
            "quick": self.quick,
            "old": _side(self.sides[0]),
            "new": _side(self.sides[1]),
            "scenarios": {
                outcome.scenario: {
                    "figures": [_figure(each) for each in outcome.figures],
                    "notes": outcome.notes,
                }
                for outcome in self.outcomes
            },
        }


def table_of(outcome: Outcome, sides: Sequence[Side]) -> Table:
    """Returns the table of one scenario."""
    table = Table(title=outcome.scenario, title_justify="left")
    table.add_column("")
    table.add_column("unit")
    for title in (*(side.name for side in sides), "better by", "95 % interval", "noise"):
        table.add_column(title, justify="right")
    table.add_column("")
    for figure in outcome.figures:
        ratio = figure.ratio
        table.add_row(
            figure.name,
            figure.unit,
            short(median(figure.old)),
            short(median(figure.new)),
            f"{ratio.mean:.3f}" if ratio else NOTHING,
            f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio else NOTHING,
            ", ".join(_percent(each) for each in figure.noise),
            ratio.verdict if ratio else "",
        )
    return table


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f} %"


def _side(side: Side) -> dict[str, Any]:
    return {"name": side.name, "about": side.about, "commit": side.commit, "compiled": side.compiled}


def _figure(figure: Paired) -> dict[str, Any]:
    ratio = figure.ratio
    old, new = figure.noise
    return {
        **asdict(figure),
        "ratio": asdict(ratio) if ratio else None,
        "noise": {"old": old, "new": new},
    }
