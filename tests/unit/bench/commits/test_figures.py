"""Figures are read from the reports that the scenarios make."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from bench.commits.figures import Figure, figures_of
from bench.commits.scenarios import Unusable
from bench.comparison import Comparison, Quantity, Row
from bench.measure import Report


def _read(report: Report) -> list[Figure]:
    told: dict[str, Any] = json.loads(json.dumps(asdict(report)))
    return list(figures_of(told).values())


def test_a_rate_is_better_the_more_and_all_else_the_less() -> None:
    report = Report("depth")
    report.add("submissions", "jobs/s", [1, 3, 2])
    report.add("memory", "bytes", [5])
    assert _read(report) == [Figure("submissions", "jobs/s", True, 2), Figure("memory", "bytes", False, 5)]


def test_what_is_only_counted_is_not_compared() -> None:
    report = Report("client")
    report.add("jobs that the queue then has", "jobs", [10])
    report.add("nothing was measured", "ms", [])
    assert _read(report) == []


def test_a_figure_that_belongs_to_another_has_its_name_too() -> None:
    report = Report("startup")
    for name in ("asman --help", "asman job list"):
        report.add(name, "ms", [1])
        report.add("… in times of python", "x", [1])
    assert [figure.name for figure in _read(report)] == [
        "asman --help",
        "asman --help … in times of python",
        "asman job list",
        "asman job list … in times of python",
    ]


def _comparison(title: str, missing: str = "") -> Comparison:
    quantities = [
        Quantity("jobs", "jobs/s"),
        Quantity("p50", "ms", more_is_better=False),
        Quantity("p99.9", "ms", more_is_better=False, compared=False),
    ]
    row = Row("library", values={"jobs": [4, None, 2], "p50": [7], "p99.9": [9]}, missing=missing)
    return Comparison(title, quantities, [], [row])


def test_rows_of_systems_side_by_side_are_figures_with_their_own_direction() -> None:
    assert _read(Report("throughput", comparisons=[_comparison("throughput")])) == [
        Figure("library: jobs", "jobs/s", True, 3),
        Figure("library: p50", "ms", False, 7),
    ]


def test_two_tables_of_one_report_are_told_apart() -> None:
    report = Report("latency", comparisons=[_comparison("alone"), _comparison("busy")])
    assert [figure.name for figure in _read(report)][::2] == ["library, alone: jobs", "library, busy: jobs"]


def test_a_row_that_failed_is_an_error_and_not_left_out() -> None:
    with pytest.raises(Unusable, match="library: failed in round 1: boom"):
        _read(Report("throughput", comparisons=[_comparison("throughput", "failed in round 1: boom")]))
