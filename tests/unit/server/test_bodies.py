"""A body that stalls or trickles ends by a deadline, and all bodies in memory have one bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from asman_server.bodies import BODIES_BYTES, BUFFERED, SMALL_BYTES, STREAMED, Bodies, Pace, timely
from asman_shared.errors import TooSlow, Unavailable
from asman_shared.units import KIB, MIB


async def stalling(*chunks: bytes) -> AsyncIterator[bytes]:
    """Gives some chunks and then nothing, for good."""
    for chunk in chunks:
        yield chunk
    await asyncio.Event().wait()


async def trickling(pause: float) -> AsyncIterator[bytes]:
    """Gives a byte from time to time, for good."""
    while True:
        await asyncio.sleep(pause)
        yield b"x"


async def whole(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_whole_body_passes_as_it_came() -> None:
    assert [chunk async for chunk in timely(whole(b"a", b"", b"bc"), BUFFERED)] == [b"a", b"", b"bc"]


async def test_a_body_that_stalls_ends_after_the_longest_pause_however_much_came() -> None:
    got = []
    with pytest.raises(TooSlow, match=r"stopped after 1 MiB: nothing of it came for 0\.05 s") as caught:
        async for chunk in timely(stalling(bytes(MIB)), Pace(idle=0.05, grace=60, rate=1)):
            got.append(chunk)
    assert got == [bytes(MIB)]
    assert caught.value.retry


async def test_a_body_that_trickles_ends_though_it_never_stalls() -> None:
    with pytest.raises(TooSlow, match="comes too slowly"):
        async for _ in timely(trickling(0.001), Pace(idle=60, grace=0.05, rate=10_000)):
            pass


async def test_time_in_which_the_hub_itself_is_slow_does_not_count() -> None:
    async for _ in timely(whole(*[b"x"] * 5), Pace(idle=0.04, grace=0.04, rate=10_000)):
        await asyncio.sleep(0.02)


def test_a_slow_line_is_allowed_a_blob_of_any_size_and_a_body_of_the_largest() -> None:
    assert STREAMED.rate <= KIB
    assert BUFFERED.rate * 8 <= 64 * KIB  # an ISDN line
    assert min(STREAMED.idle, BUFFERED.idle) >= 20


def test_all_bodies_together_have_a_bound_and_the_last_quarter_is_for_small_ones() -> None:
    bodies = Bodies(4 * MIB)
    with bodies.holding() as large:
        for _ in range(3):
            large.add(MIB)
        with bodies.holding() as other:
            other.add(SMALL_BYTES)
            with pytest.raises(Unavailable, match=r"take 3\.062 MiB, and together they may take 4 MiB") as caught:
                other.add(1)
            assert caught.value.status == 503
            assert other.bytes == SMALL_BYTES
        for _ in range(3):
            with bodies.holding() as small:
                small.add(SMALL_BYTES)
        assert bodies.bytes == 3 * MIB
    assert bodies.bytes == 0


def test_small_bodies_have_the_bound_too() -> None:
    bodies = Bodies(MIB)
    with bodies.holding() as one, bodies.holding() as other:
        one.bytes = bodies.bytes = MIB  # as many others
        with pytest.raises(Unavailable):
            other.add(1)
    assert bodies.bytes == 0
    assert BODIES_BYTES >= 2 * SMALL_BYTES
