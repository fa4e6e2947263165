"""Figures of one run, read from a scenario's report as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any, NamedTuple

from bench.commits.scenarios import Unusable

COUNTS = frozenset({"calls", "changes", "jobs"})
"""Units of what is only counted; more or less of it is neither better nor worse."""
BELONGS = "… "
"""Begins the name of a figure that belongs to the one above it."""


class Figure(NamedTuple):
    """One measured quantity of one run.

    Attributes:
        name: Its row in the table.
        unit: The unit of its value.
        more_is_better: True for a rate, false for a time or for memory.
        value: The median, where the run measured it several times.
    """

    name: str
    unit: str
    more_is_better: bool
    value: float


def figures_of(report: dict[str, Any]) -> dict[str, Figure]:
    """Returns what can be compared, by name.

    Raises:
        Unusable: Something was not measured.
    """
    found: dict[str, Figure] = {}
    for figure in (*_compared(report), *_single(report)):
        found.setdefault(figure.name, figure)
    return found


def _single(report: dict[str, Any]) -> Iterator[Figure]:
    above = ""
    for figure in report["figures"]:
        name, unit = figure["name"], figure["unit"]
        if name.startswith(BELONGS):
            name = f"{above} {name}"
        else:
            above = name
        if unit not in COUNTS and figure["values"]:
            yield Figure(name, unit, unit.endswith("/s"), median(figure["values"]))


def _compared(report: dict[str, Any]) -> Iterator[Figure]:
    several = len(report["comparisons"]) > 1
    for comparison in report["comparisons"]:
        for row in comparison["rows"]:
            if row["missing"]:
                raise Unusable(f"{row['name']}: {row['missing']}")
            for quantity in comparison["quantities"]:
                values = [value for value in row["values"].get(quantity["name"], []) if value is not None]
                if quantity["compared"] and values:
                    title = f"{row['name']}, {comparison['title']}" if several else row["name"]
                    name = f"{title}: {quantity['name']}"
                    yield Figure(name, quantity["unit"], quantity["more_is_better"], median(values))
