"""Statistics of paired rounds: the geometric mean of the ratios with its 95 % interval, and the noise of one side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEAST_PAIRS = 2
"""Rounds that an interval needs."""
LEAST_DIFFERENCE = 0.01
"""What a verdict needs, as a share: some memory is the same to a byte in each run, so any difference would be one."""
NORMAL = 1.959964
"""The 97.5th percentile of the normal distribution."""


@dataclass(frozen=True)
class Ratio:
    """How many times better the working tree is; below 1 it is worse.

    Attributes:
        mean: The geometric mean of the rounds' ratios.
        low: The lower end of the 95 % interval of the mean.
        high: The upper end.
        rounds: How many rounds it is made of.
    """

    mean: float
    low: float
    high: float
    rounds: int

    @property
    def verdict(self) -> str:
        """Says ``better`` or ``worse`` where the whole interval is on one side of 1 and the mean differs by 1 %."""
        if self.low > 1 and self.mean >= 1 + LEAST_DIFFERENCE:
            return "better"
        return "worse" if self.high < 1 and self.mean <= 1 - LEAST_DIFFERENCE else ""


def student(freedom: int) -> float:
    """Returns the 97.5th percentile of Student's t distribution.

    It is exact for 1 and 2 degrees of freedom. From 3 on it is a series around the normal distribution
    (Abramowitz and Stegun, 26.7.5), which is 0.2 % too low at most.

    Args:
        freedom: Degrees of freedom: one less than the number of values.

    Raises:
        ValueError: There are none.
    """
    if freedom < 1:
        raise ValueError(f"at least 1 degree of freedom, not {freedom}")
    if freedom == 1:
        return math.tan(0.475 * math.pi)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z = NORMAL
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / float(freedom) ** power for power, term in enumerate(terms))


def ratio_of(old: Sequence[float], new: Sequence[float], *, more_is_better: bool) -> Ratio | None:
    """Compares the values of one figure, pair by pair.

    Args:
        old: The commit's values, one per round.
        new: The working tree's values of the same rounds.
        more_is_better: True for a rate, false for a time or for memory.

    Returns:
        The ratio; ``None`` where fewer than two rounds have two values above 0.

    Raises:
        ValueError: The sides have different numbers of rounds.
    """
    logs = [
        math.log(ours / theirs if more_is_better else theirs / ours)
        for theirs, ours in zip(old, new, strict=True)
        if theirs > 0 and ours > 0
    ]
    if len(logs) < LEAST_PAIRS:
        return None
    middle = fmean(logs)
    reach = student(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(middle), math.exp(middle - reach), math.exp(middle + reach), len(logs))


def noise(values: Sequence[float]) -> float | None:
    """Returns how much the values of one side differ between rounds, as a share: 0.03 is about 3 %.

    It is the standard deviation of the logarithms; ``None`` with fewer than two values above 0.
    """
    logs = [math.log(value) for value in values if value > 0]
    return stdev(logs) if len(logs) >= LEAST_PAIRS else None
