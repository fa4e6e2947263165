"""The statistics of paired rounds, beside values that were worked out by hand or stand in tables."""

from __future__ import annotations

import math

import pytest

from bench.commits.intervals import noise, ratio_of, student


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (19, 2.093), (30, 2.042), (99, 1.984)],
)
def test_students_t_is_that_of_the_tables(freedom: int, expected: float) -> None:
    assert student(freedom) == pytest.approx(expected, rel=0.002)


def test_students_t_needs_a_degree_of_freedom() -> None:
    with pytest.raises(ValueError, match="at least 1 degree of freedom, not 0"):
        student(0)


def test_a_ratio_is_the_geometric_mean_with_its_interval() -> None:
    ratio = ratio_of([1, 1, 1], [1, 2, 4], more_is_better=True)
    assert ratio is not None
    # The logarithms are 0, ln 2 and 2 ln 2: their mean is ln 2 and their standard deviation, too.
    reach = math.exp(4.30265 * math.log(2) / math.sqrt(3))
    assert ratio.mean == pytest.approx(2)
    assert ratio.low == pytest.approx(2 / reach, rel=1e-4)
    assert ratio.high == pytest.approx(2 * reach, rel=1e-4)
    assert ratio.rounds == 3
    assert ratio.verdict == ""


def test_where_less_is_better_the_ratio_is_turned_round() -> None:
    more = ratio_of([10, 20], [20, 60], more_is_better=True)
    less = ratio_of([20, 60], [10, 20], more_is_better=False)
    assert more == less


def test_swapped_sides_give_the_inverse() -> None:
    ahead = ratio_of([3, 4, 5], [4, 4, 7], more_is_better=True)
    behind = ratio_of([4, 4, 7], [3, 4, 5], more_is_better=True)
    assert ahead is not None
    assert behind is not None
    assert ahead.mean == pytest.approx(1 / behind.mean)
    assert ahead.low == pytest.approx(1 / behind.high)


def test_what_slows_both_sides_of_a_round_does_not_widen_the_interval() -> None:
    ratio = ratio_of([100, 10, 1], [110, 11, 1.1], more_is_better=True)
    assert ratio is not None
    assert [ratio.low, ratio.mean, ratio.high] == pytest.approx([1.1, 1.1, 1.1])
    assert ratio.verdict == "better"


def test_a_verdict_needs_the_whole_interval_on_one_side_of_1_and_a_hundredth() -> None:
    worse = ratio_of([100, 101, 99, 100], [90, 91, 89, 91], more_is_better=True)
    equal = ratio_of([5, 5], [5, 5], more_is_better=True)
    slightly = ratio_of([1000, 1000], [1005, 1005], more_is_better=True)
    assert worse is not None
    assert equal is not None
    assert slightly is not None
    assert worse.verdict == "worse"
    assert (slightly.low > 1, slightly.verdict) == (True, "")
    assert (equal.low, equal.mean, equal.high, equal.verdict) == (1, 1, 1, "")


def test_rounds_without_a_value_above_0_on_both_sides_are_left_out() -> None:
    ratio = ratio_of([0, 1, -3, 1, 1], [5, 2, 4, 0, 2], more_is_better=True)
    assert ratio is not None
    assert ratio.mean == pytest.approx(2)
    assert ratio.rounds == 2


@pytest.mark.parametrize("values", [[], [1.0], [0.0, 0.0], [1.0, 0.0]])
def test_fewer_than_two_pairs_have_no_ratio_and_no_noise(values: list[float]) -> None:
    assert ratio_of(values, values, more_is_better=True) is None
    assert noise(values) is None


def test_sides_with_different_numbers_of_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio_of([1, 2], [1], more_is_better=True)


def test_noise_is_the_share_by_which_one_side_differs() -> None:
    assert noise([7, 7, 7]) == 0
    assert noise([math.exp(-0.1), 1, math.exp(0.1)]) == pytest.approx(0.1)
