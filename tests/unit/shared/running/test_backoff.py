"""Waits between tries."""

from __future__ import annotations

from asman_shared.running.backoff import Backoff


def test_waits_grow_and_are_random_up_to_a_bound() -> None:
    most = Backoff(0.2, 15, chance=lambda: 1.0)
    assert [most.next() for _ in range(9)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15, 15]
    most.reset()
    assert most.next() == 0.2
    assert Backoff(0.2, chance=lambda: 0.0).next() == 0.1
