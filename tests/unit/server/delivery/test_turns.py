"""The turns of the event loop, shared by requests and all else."""

from __future__ import annotations

import asyncio
from functools import partial

from asman_server.delivery.turns import REQUESTS, Turns


async def test_a_turn_begins_so_many_requests_and_the_next_ones_the_others_in_their_order() -> None:
    loop = asyncio.get_running_loop()
    turns = Turns()
    begun: list[int] = []
    for number in range(2 * REQUESTS + 5):
        if turns.take(loop):
            begun.append(number)
        else:
            turns.wait(partial(begun.append, number))
    seen = []
    while len(begun) < 2 * REQUESTS + 5:
        seen.append(len(begun))
        await asyncio.sleep(0)
    assert begun == list(range(2 * REQUESTS + 5))
    assert seen == [REQUESTS, 2 * REQUESTS]


async def test_requests_that_waited_count_among_those_of_their_turn() -> None:
    loop = asyncio.get_running_loop()
    turns = Turns()
    begun: list[int] = []
    for number in range(REQUESTS + 4):
        if not turns.take(loop):
            turns.wait(partial(begun.append, number))
    await asyncio.sleep(0)
    assert len(begun) == 4
    assert [turns.take(loop) for _ in range(REQUESTS)].count(True) == REQUESTS - 4


async def test_a_loop_has_room_again_in_each_turn() -> None:
    loop = asyncio.get_running_loop()
    turns = Turns()
    for _ in range(3):
        assert all(turns.take(loop) for _ in range(REQUESTS))
        assert not turns.take(loop)
        await asyncio.sleep(0)
    for _ in range(5 * REQUESTS):  # one in each turn, which needs no turn of its own to be forgotten
        assert turns.take(loop)
        await asyncio.sleep(0)
