"""The client waits for the limits of a hub by itself, and says so."""

from __future__ import annotations

import asyncio
import logging

import pytest

from asman_shared.errors import Overloaded
from asman_shared.messages import RateLimit
from asman_shared.running.pacing import Pacer
from tests.simulation.loop import run_virtual

FIFTY = RateLimit("submits", "address", 100, 50.0, 0)


def refusal(after: float) -> Overloaded:
    return Overloaded("this hub takes 50 submits a second from one address; try again in 3 s", retry_after=after)


def test_nothing_is_held_back_before_the_hub_refuses_something() -> None:
    async def main() -> None:
        pacer, loop = Pacer(None), asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(1000):
            await pacer.turn()
            pacer.taken()
        assert loop.time() == begun

    run_virtual(main)


def test_requests_that_were_refused_together_are_made_again_one_by_one_at_the_rate_of_the_hub() -> None:
    made: list[float] = []

    async def main() -> None:
        pacer, loop = Pacer(None), asyncio.get_running_loop()
        begun = loop.time()

        async def one() -> None:
            pacer.refused(refusal(3.0), [FIFTY])
            await pacer.turn()
            made.append(loop.time() - begun)

        await asyncio.gather(*(one() for _ in range(10)))
        await asyncio.sleep(1)
        await pacer.turn()  # what waited is through: no turns any more
        assert loop.time() - begun == pytest.approx(made[-1] + 1)

    run_virtual(main)
    assert made == pytest.approx([3.0 + number * 0.02 for number in range(10)])


def test_the_reason_to_wait_is_said_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        pacer = Pacer(None)
        for _ in range(5):
            pacer.refused(refusal(3.0), [FIFTY])
        await asyncio.sleep(10)
        pacer.refused(refusal(0.5), [FIFTY])

    with caplog.at_level(logging.WARNING, "asman.pacing"):
        run_virtual(main)
    assert caplog.messages == [
        "this hub takes 50 submits a second from one address; waiting 3 s",
        "this hub takes 50 submits a second from one address; waiting 500 ms",
    ]


def test_a_hub_that_takes_nothing_for_too_long_ends_the_wait_and_one_that_takes_some_does_not() -> None:
    async def main() -> None:
        pacer = Pacer(60)
        for _ in range(100):
            pacer.refused(refusal(5.0), [FIFTY])
            await asyncio.sleep(20)
            pacer.taken()
        pacer.refused(refusal(5.0), [FIFTY])
        await asyncio.sleep(61)
        with pytest.raises(Overloaded):
            pacer.refused(refusal(5.0), [FIFTY])

    run_virtual(main)
