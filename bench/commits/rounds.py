"""The sides of a comparison take turns: A B, B A, A B, …, so that a machine that gets slower favours neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.commits.intervals import Ratio, noise, ratio_of
from bench.commits.running import Run
from bench.commits.scenarios import Scenario
from bench.commits.sides import Side

FEWEST, MOST = 2, 100
"""Rounds: an interval needs two, and nobody waits for more than a hundred."""


def turns(rounds: int) -> Iterator[tuple[int, int]]:
    """Yields the round and the side of each turn, counted from 0: the first side begins even rounds."""
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            yield number, side


@dataclass
class Paired:
    """One figure of both sides.

    Attributes:
        name: Of the figure.
        unit: Of its values.
        more_is_better: True for a rate, false for a time or for memory.
        old: The commit's values, one per round.
        new: The working tree's values.
    """

    name: str
    unit: str
    more_is_better: bool
    old: list[float]
    new: list[float]

    @property
    def ratio(self) -> Ratio | None:
        """How many times better the working tree is."""
        return ratio_of(self.old, self.new, more_is_better=self.more_is_better)

    @property
    def noise(self) -> tuple[float | None, float | None]:
        """How much each side differs between rounds, as a share."""
        return noise(self.old), noise(self.new)


@dataclass
class Outcome:
    """All that a scenario gave.

    Attributes:
        scenario: Its name.
        figures: Those that both sides have.
        notes: What has to be known to read them.
    """

    scenario: str
    figures: list[Paired] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def measured(
    scenario: Scenario,
    sides: tuple[Side, Side],
    rounds: int,
    measure: Callable[[Scenario, Side], Run],
    say: Callable[[str], None],
) -> Outcome:
    """Runs a scenario in turns and pairs what the sides gave in each round."""
    runs: tuple[list[Run], list[Run]] = ([], [])
    for number, which in turns(rounds):
        say(f"{scenario.name}, round {number + 1} of {rounds}: {sides[which].name}")
        runs[which].append(measure(scenario, sides[which]))
    return paired(scenario.name, sides, *runs)


def paired(name: str, sides: tuple[Side, Side], old: list[Run], new: list[Run]) -> Outcome:
    """Pairs the figures that both sides have in every round, in the working tree's order."""
    outcome = Outcome(name)
    common = [figure for figure in new[0].figures.values() if all(figure.name in run.figures for run in (*old, *new))]
    for figure in common:
        values = [[run.figures[figure.name].value for run in side] for side in (old, new)]
        outcome.figures.append(Paired(figure.name, figure.unit, figure.more_is_better, *values))
    for side, runs in zip(sides, (old, new), strict=True):
        only = dict.fromkeys(each for run in runs for each in run.figures if each not in {it.name for it in common})
        if only:
            outcome.notes.append(f"{name}: not in every run of both sides, but in {side.name}: {'; '.join(only)}.")
        if runs[0].absent:
            outcome.notes.append(f"{name}: {side.name} has no {', '.join(runs[0].absent)}, so its runs are longer.")
    return outcome
