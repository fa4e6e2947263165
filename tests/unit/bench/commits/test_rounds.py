"""The order in which two sides take turns, and how their figures are paired."""

from __future__ import annotations

from pathlib import Path

from bench.commits.figures import Figure
from bench.commits.rounds import measured, turns
from bench.commits.running import Run
from bench.commits.scenarios import Scenario
from bench.commits.sides import Side

OLD = Side("abc", "commit abc", "abc", Path("old"), Path("python"), compiled=False)
NEW = Side("working tree", "abc", "", Path("new"), Path("python"), compiled=False)
SCENARIO = Scenario("depth", "bench.depth", (), ())


def _run(absent: tuple[str, ...] = (), **values: float) -> Run:
    return Run({name: Figure(name, "ms", more_is_better=False, value=value) for name, value in values.items()}, absent)


def test_the_side_that_begins_changes_with_each_round() -> None:
    assert "".join("AB"[side] for _, side in turns(4)) == "ABBAABBA"
    assert [number for number, _ in turns(3)] == [0, 0, 1, 1, 2, 2]


def test_values_are_paired_by_their_round_whichever_side_began() -> None:
    given = iter([_run(p50=10), _run(p50=1), _run(p50=2), _run(p50=20), _run(p50=30), _run(p50=3)])
    asked: list[str] = []
    said: list[str] = []

    def measure(scenario: Scenario, side: Side) -> Run:
        assert scenario is SCENARIO
        asked.append(side.name)
        return next(given)

    outcome = measured(SCENARIO, (OLD, NEW), 3, measure, said.append)
    assert asked == ["abc", "working tree", "working tree", "abc", "abc", "working tree"]
    [figure] = outcome.figures
    assert (figure.old, figure.new) == ([10, 20, 30], [1, 2, 3])
    assert figure.ratio is not None
    assert round(figure.ratio.mean, 6) == 10
    assert outcome.notes == []
    assert said[3] == "depth, round 2 of 3: abc"


def test_figures_that_one_side_lacks_are_named_and_not_compared() -> None:
    given = iter([_run(both=1, renamed=1), _run(both=1, new=1), _run(both=1, new=1), _run(both=1, renamed=1)])
    outcome = measured(SCENARIO, (OLD, NEW), 2, lambda *_: next(given), lambda _: None)
    assert [figure.name for figure in outcome.figures] == ["both"]
    assert outcome.notes == [
        "depth: not in every run of both sides, but in abc: renamed.",
        "depth: not in every run of both sides, but in working tree: new.",
    ]


def test_a_side_that_could_not_be_made_as_short_is_named() -> None:
    given = iter([_run(("bench.depth.RUNS",), a=1), _run(a=1), _run(a=1), _run(a=1)])
    outcome = measured(SCENARIO, (OLD, NEW), 2, lambda *_: next(given), lambda _: None)
    assert outcome.notes == ["depth: abc has no bench.depth.RUNS, so its runs are longer."]
