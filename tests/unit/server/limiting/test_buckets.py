"""Token buckets: a burst, then the rate, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asman_server.limiting.buckets import Buckets, Counts
from asman_server.limiting.rates import Rate

FIVE = Rate(5, "s", 10)


def test_a_burst_passes_at_once_and_the_next_waits_for_its_token() -> None:
    buckets = Buckets()
    for _ in range(10):
        assert buckets.wait("a", 1, FIVE, 100.0) == 0
        buckets.take("a", 1, FIVE, 100.0)
    assert abs(buckets.wait("a", 1, FIVE, 100.0) - 0.2) < 1e-6
    assert buckets.wait("a", 1, FIVE, 100.2) == 0
    assert buckets.wait("b", 1, FIVE, 100.0) == 0


def test_more_than_a_burst_passes_a_full_bucket_which_owes_the_rest() -> None:
    buckets = Buckets()
    assert buckets.wait("a", 35, FIVE, 0.0) == 0
    buckets.take("a", 35, FIVE, 0.0)
    assert buckets.left("a", FIVE, 0.0) == 0
    assert abs(buckets.wait("a", 1, FIVE, 0.0) - 5.2) < 1e-6
    assert buckets.left("a", FIVE, 7.0) == 10


def test_full_buckets_need_no_memory_and_the_number_of_others_is_bounded() -> None:
    buckets = Buckets(most=100)
    for number in range(5000):
        buckets.take(f"stranger {number}", 1, FIVE, 0.0)
    assert len(buckets) == 100
    buckets.take("later", 1, FIVE, 1.0)
    assert len(buckets) == 1


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4)), max_size=60))
def test_no_sender_gets_more_than_burst_and_rate_however_it_asks(asked: list[tuple[float, int]]) -> None:
    buckets, now, got = Buckets(), 0.0, 0
    for pause, amount in asked:
        now += pause
        if not buckets.wait("a", amount, FIVE, now):
            buckets.take("a", amount, FIVE, now)
            got += amount
        assert got <= FIVE.burst + FIVE.per_second * now + 1e-3


def test_a_count_that_is_back_at_zero_is_forgotten() -> None:
    counts = Counts()
    counts.add("a")
    counts.add("a")
    counts.drop("a")
    assert (counts.of("a"), len(counts)) == (1, 1)
    counts.drop("a")
    counts.drop("a")
    assert (counts.of("a"), len(counts)) == (0, 0)
