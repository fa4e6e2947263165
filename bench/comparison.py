"""Systems measured side by side in rounds: A B C, A B C, …; ratios of one round are the figures, then rates.

Both sides of a ratio come from the same round, minutes apart at most, so that a machine that is busy for a while
slows both. The median of the rounds' ratios stands first; their least and greatest beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.table import Table


def short(value: float) -> str:
    """A figure as it stands in a table."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The least and the greatest."""
    return f"{short(min(values))} to {short(max(values))}"


CROWDED = 4
"""Columns of figures above which a table shows medians alone; the spread is in the JSON."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed (nearest rank).

    Args:
        values: In any order.
        share: Above 0, at most 1; 0.99 for the 99th percentile.

    Raises:
        ValueError: There are no values, or there is no such share.
    """
    if not values:
        raise ValueError("a percentile of nothing")
    if not 0 < share <= 1:
        raise ValueError(f"a share is above 0 and at most 1, not {share}")
    return sorted(values)[math.ceil(share * len(values)) - 1]


@dataclass
class Row:
    """One system.

    Attributes:
        name: What it is called in the table.
        version: Of it and of what it stores in.
        durability: What is safe once it has said so.
        values: By quantity, one per round; ``None`` where a round failed.
        missing: Why there are no values, or why there are fewer.
        bases: The rows that are compared with it; none for those of the whole comparison.
    """

    name: str
    version: str = ""
    durability: str = ""
    values: dict[str, list[float | None]] = field(default_factory=dict)
    missing: str = ""
    bases: list[str] = field(default_factory=list)

    def add(self, round_: int, quantity: str, value: float) -> None:
        """Takes in what a round gave; rounds are counted from 0."""
        values = self.values.setdefault(quantity, [])
        values += [None] * (round_ + 1 - len(values))
        values[round_] = value

    def known(self, quantity: str) -> list[float]:
        """The values of the rounds that went well."""
        return [value for value in self.values.get(quantity, []) if value is not None]


@dataclass
class Quantity:
    """What is compared.

    Attributes:
        name: Its column.
        unit: Of its values.
        more_is_better: As for a rate; otherwise as for a time.
        compared: Whether there are ratios of it, or it only says what it cost.
    """

    name: str
    unit: str
    more_is_better: bool = True
    compared: bool = True


@dataclass
class Comparison:
    """All that was measured side by side.

    Attributes:
        title: Of its tables.
        quantities: What is compared.
        bases: The rows that each other is compared with, unless it says otherwise.
        ratios: By row, base and quantity those of each round, worked out by `settle`.
    """

    title: str
    quantities: list[Quantity]
    bases: list[str]
    rows: list[Row] = field(default_factory=list)
    ratios: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def row(self, name: str) -> Row | None:
        """The row of that name."""
        return next((row for row in self.rows if row.name == name), None)

    def settle(self) -> None:
        """Works out all ratios: how many times better the base is than the row; below 1 the row is better."""
        for row in self.rows:
            for name in row.bases or self.bases:
                base = self.row(name)
                if base is None or base is row:
                    break  # nor is it compared with a base that comes after it
                found = {each.name: ratios(each, base, row) for each in self.quantities if each.compared}
                if any(found.values()):
                    self.ratios.setdefault(row.name, {})[name] = found

    def tables(self) -> list[Table]:
        """Ratios first, then what was measured."""
        return [self._ratio_table(), self._value_table()]

    def _ratio_table(self) -> Table:
        compared = [quantity.name for quantity in self.quantities if quantity.compared]
        table = Table(title=f"{self.title}: how many times better", title_justify="left")
        table.add_column("this is")
        table.add_column("than this")
        for name in compared:
            table.add_column(name, justify="right")
        bases = list(dict.fromkeys(base for found in self.ratios.values() for base in found))
        for base in bases:
            for row in self.rows:
                found = self.ratios.get(row.name, {}).get(base)
                if found:
                    table.add_row(base, row.name, *(_with_spread(found[name]) for name in compared))
        return table

    def _value_table(self) -> Table:
        table = Table(title=f"{self.title}: measured", title_justify="left")
        table.add_column("")
        for quantity in self.quantities:
            table.add_column(f"{quantity.name}\n{quantity.unit}", justify="right")
        table.add_column("durability")
        crowded = len(self.quantities) > CROWDED
        for row in self.rows:
            known = [row.known(quantity.name) for quantity in self.quantities]
            cells = [short(median(values)) if crowded and values else _with_spread(values) for values in known]
            table.add_row(row.name, *cells, row.durability)
        return table

    def words(self) -> list[str]:
        """What is to be known beside the tables: what was not measured and why, and all versions."""
        missing = [f"{row.name}: {row.missing}" for row in self.rows if row.missing]
        versions = dict.fromkeys(row.version for row in self.rows if row.version)
        return [*missing, f"Versions: {'; '.join(versions)}."] if versions else missing


def ratios(quantity: Quantity, base: Row, other: Row) -> list[float]:
    """How many times better the base was in each round in which both were measured."""
    pairs = zip(base.values.get(quantity.name, []), other.values.get(quantity.name, []), strict=False)
    return [
        (ours / theirs if quantity.more_is_better else theirs / ours)
        for ours, theirs in pairs
        if ours and theirs  # neither failed, and neither is too small to have been measured
    ]


def _with_spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    if len(values) == 1:
        return short(values[0])
    return f"{short(median(values))} ({short(min(values))}–{short(max(values))})"
