"""What unfinished messages hold is counted: all together, and each from its first byte to its last."""

from __future__ import annotations

from asman_server.delivery.unfinished import SMALL_BYTES, Unfinished, allowed_seconds, weight
from asman_shared.units import KIB, MIB


def test_small_ones_are_let_in_however_many_there_are() -> None:
    counted = Unfinished(limit=MIB)
    assert all(counted.change(0, SMALL_BYTES) for _ in range(100))
    assert not counted.change(0, SMALL_BYTES + 1)


def test_large_ones_are_let_in_up_to_the_limit_and_shrink_beyond_it() -> None:
    counted = Unfinished(limit=MIB)
    assert counted.change(0, MIB)
    assert not counted.change(0, 200 * KIB)
    assert counted.change(200 * KIB, 100 * KIB)
    assert counted.change(MIB, 0)
    assert counted.change(100 * KIB, 0)
    assert counted.bytes == 0


def test_many_tiny_pieces_weigh_more_than_their_bytes() -> None:
    assert weight(0, 1000, 1000) > 50_000


def test_a_large_message_may_take_longer() -> None:
    assert allowed_seconds(0) < allowed_seconds(4 * MIB) < 600
