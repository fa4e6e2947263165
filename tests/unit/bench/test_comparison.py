"""The arithmetic of figures that were measured side by side."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import markdown, measure
from bench.comparison import Comparison, Quantity, Row, percentile, ratios, short
from bench.measure import Report

RATE = Quantity("jobs", "jobs/s")
TIME = Quantity("p50", "ms", more_is_better=False)
COST = Quantity("memory", "MiB", compared=False)


def _row(name: str, bases: tuple[str, ...] = (), **values: list[float | None]) -> Row:
    return Row(name, values={key.replace("_", " "): found for key, found in values.items()}, bases=list(bases))


@pytest.mark.parametrize(
    ("share", "found"), [(0.001, 1), (0.01, 1), (0.011, 2), (0.5, 50), (0.99, 99), (0.999, 100), (1, 100)]
)
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share: float, found: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == found


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert [percentile([7.0], share) for share in (0.01, 0.5, 1)] == [7.0] * 3


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        percentile([], 0.5)


@pytest.mark.parametrize("share", [0, -0.5, 1.01, 99])
def test_a_percentile_is_named_by_a_share(share: float) -> None:
    with pytest.raises(ValueError, match=f"not {share}"):
        percentile([1.0], share)


def test_a_ratio_above_one_means_more_jobs_or_less_time() -> None:
    base, other = _row("a", jobs=[200.0], p50=[1.0]), _row("b", jobs=[100.0], p50=[3.0])
    assert ratios(RATE, base, other) == [2.0]
    assert ratios(TIME, base, other) == [3.0]


def test_ratios_are_of_the_same_round_and_only_where_both_went_well() -> None:
    base = _row("a", jobs=[100.0, None, 300.0, 400.0])
    other = _row("b", jobs=[50.0, 50.0, None, 40.0, 10.0])
    assert ratios(RATE, base, other) == [2.0, 10.0]


def test_a_side_that_never_ran_has_no_ratio() -> None:
    assert ratios(RATE, _row("a", jobs=[1.0]), _row("b")) == []


def test_a_value_of_nothing_gives_no_ratio() -> None:
    assert ratios(RATE, _row("a", jobs=[100.0]), _row("b", jobs=[0.0])) == []


def test_rounds_that_failed_leave_a_hole_in_their_place() -> None:
    row = Row("a")
    row.add(2, "jobs", 30.0)
    row.add(0, "jobs", 10.0)
    assert row.values == {"jobs": [10.0, None, 30.0]}
    assert row.known("jobs") == [10.0, 30.0]


def test_each_row_is_compared_with_each_base_and_a_base_with_those_before_it() -> None:
    rows = [_row("frames", jobs=[100.0]), _row("library", jobs=[50.0]), _row("other", jobs=[25.0])]
    compared = Comparison("throughput", [RATE], ["frames", "library"], rows)
    compared.settle()
    assert compared.ratios == {
        "library": {"frames": {"jobs": [2.0]}},
        "other": {"frames": {"jobs": [4.0]}, "library": {"jobs": [2.0]}},
    }


def test_a_row_may_name_what_it_is_like() -> None:
    rows = [_row("a", jobs=[100.0]), _row("a with processes", jobs=[8.0]), _row("b", ("a with processes",), jobs=[4.0])]
    compared = Comparison("throughput", [RATE], ["a"], rows)
    compared.settle()
    assert compared.ratios["b"] == {"a with processes": {"jobs": [2.0]}}


def _printed(compared: Comparison) -> str:
    console = Console(width=140, file=StringIO())
    for table in compared.tables():
        console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_ratios_are_printed_before_what_was_measured() -> None:
    rows = [_row("a", jobs=[300.0, 100.0, 200.0], memory=[1.0]), _row("b", jobs=[100.0, 50.0, 50.0])]
    rows[1].durability = "none"
    compared = Comparison("throughput", [RATE, COST], ["a"], rows)
    compared.settle()
    text = _printed(compared)
    assert text.index("3 (2–4)") < text.index("200 (100–300)") < text.index("50 (50–100)") < text.index("none")
    assert text.count("memory") == 1  # it is not compared


def test_what_was_not_measured_is_told_with_its_reason_and_versions_once() -> None:
    rows = [_row("a", jobs=[1.0]), _row("b"), _row("c", jobs=[1.0])]
    rows[0].version = rows[2].version = "a 1.2"
    rows[1].missing = "not measured: it has no environment"
    assert Comparison("t", [RATE], ["a"], rows).words() == [
        "b: not measured: it has no environment",
        "Versions: a 1.2.",
    ]
    assert "–" in _printed(Comparison("t", [RATE], ["a"], rows))


@pytest.mark.parametrize(("value", "text"), [(0.123456, "0.123"), (12.34, "12.3"), (1234.5, "1,234"), (99.99, "100")])
def test_figures_stand_in_tables_with_three_digits_that_matter(value: float, text: str) -> None:
    assert short(value) == text


def test_a_report_keeps_ratios_and_every_round_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "bench" / "results")
    (tmp_path / "bench").mkdir()
    report = Report("throughput")
    rows = [_row("a", jobs=[200.0, 300.0]), _row("b", jobs=[100.0, None])]
    report.comparisons.append(Comparison("throughput", [RATE], ["a"], rows))
    path = report.publish()
    [compared] = json.loads(path.read_text())["comparisons"]
    assert compared["ratios"] == {"b": {"a": {"jobs": [2.0]}}}
    assert [row["values"] for row in compared["rows"]] == [{"jobs": [200.0, 300.0]}, {"jobs": [100.0, None]}]
    assert "this is" in capsys.readouterr().out


def test_a_result_becomes_the_tables_of_the_documentation() -> None:
    rows = [_row("a", jobs=[200.0, 300.0]), _row("b", jobs=[100.0, None]), _row("c"), _row("d", ("b",), jobs=[50.0])]
    rows[0].durability, rows[2].missing = "synced", "not measured: it is not here"
    compared = Comparison("throughput", [RATE], ["a"], rows)
    compared.settle()
    assert markdown.tables({"comparisons": [asdict(compared)]}).splitlines() == [
        "throughput:",
        "",
        "|  | durability | jobs, a ahead by | jobs, jobs/s |",
        "| --- | --- | --- | --- |",
        "| a | synced |  | 250 (200 to 300) |",
        "| b |  | 2 | 100 |",
        "| c | not measured: it is not here |  |  |",
        "| d |  | 2 (that of b) | 50 |",
    ]
