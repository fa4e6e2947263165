"""Time limits of calls, and durations."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from asman.deadline import deadline, milliseconds
from asman_shared.errors import BadUnit, TimedOut


async def test_a_block_that_takes_too_long_is_named_in_the_error() -> None:
    with pytest.raises(TimedOut, match=r"waiting for the moon took longer than 0\.01 seconds"):
        async with deadline(0.01, "waiting for the moon"):
            await asyncio.Event().wait()


async def test_a_timeout_of_the_block_itself_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError, match="its own") as caught:
        async with deadline(None, "waiting"):
            raise TimeoutError("its own")
    assert not isinstance(caught.value, TimedOut)


def test_durations_are_seconds_or_text() -> None:
    assert milliseconds(None, field="timeout") is None
    assert milliseconds(1.5, field="timeout") == 1500
    assert milliseconds("20m", field="timeout") == 1_200_000
    assert milliseconds(timedelta(minutes=20), field="timeout") == 1_200_000
    for wrong in (0, -1, 0.0001, "20", "soon"):
        with pytest.raises(BadUnit) as caught:
            milliseconds(wrong, field="queue_timeout")
        assert caught.value.field == "queue_timeout"


async def test_a_limit_may_be_a_text_as_other_durations_may() -> None:
    with pytest.raises(TimedOut, match=r"waiting for the moon took longer than 0\.02 seconds"):
        async with deadline("20ms", "waiting for the moon"):
            await asyncio.Event().wait()
    with pytest.raises(TimedOut, match=r"waiting for the moon took longer than 0\.02 seconds"):
        async with deadline(timedelta(milliseconds=20), "waiting for the moon"):
            await asyncio.Event().wait()
    with pytest.raises(BadUnit):
        async with deadline("soon", "waiting for the moon"):
            pass
