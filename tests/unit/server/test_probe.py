"""A question that may stall is asked once at a time, never for longer than the patience, and not for each reader."""

from __future__ import annotations

import asyncio

from asman_server.probe import Probe
from devtools.patience import PATIENCE


class Asked:
    """A question whose answer a test gives."""

    def __init__(self) -> None:
        self.times = 0
        self.answer = ""
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> str:
        self.times += 1
        await self.go.wait()
        return self.answer


async def test_readers_share_one_question_and_its_answer_is_kept_for_a_moment() -> None:
    asked = Asked()
    asked.answer = "it is away"
    probe = Probe("it", asked, kept=60)
    assert await asyncio.gather(*(probe.wrong() for _ in range(50))) == ["it is away"] * 50
    asked.answer = ""
    assert await probe.wrong() == "it is away"
    assert asked.times == 1


async def test_a_kept_answer_gets_old() -> None:
    asked = Asked()
    probe = Probe("it", asked, kept=0)
    assert await probe.wrong() == ""
    asked.answer = "it is away"
    assert await probe.wrong() == "it is away"
    assert asked.times == 2


async def test_a_question_that_stalls_is_not_asked_again_and_told() -> None:
    asked = Asked()
    asked.go.clear()
    probe = Probe("the thing", asked, patience=0.02, kept=0)
    for _ in range(5):
        assert await probe.wrong() == "the thing did not answer within 0.02 s"
    assert asked.times == 1
    asked.go.set()
    async with asyncio.timeout(PATIENCE):
        while await probe.wrong():
            pass
    await probe.close()


async def test_a_question_that_stalls_ends_with_the_hub() -> None:
    asked = Asked()
    asked.go.clear()
    probe = Probe("it", asked, patience=0.01)
    assert await probe.wrong()
    async with asyncio.timeout(PATIENCE):
        await probe.close()
