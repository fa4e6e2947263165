"""Work that several wait for: done once, told to all, and given up when nobody waits any more."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from asman_worker.execution.interface import Reporter
from asman_worker.images import shared_work as module
from asman_worker.images.shared_work import Audience, SharedWork


class Waiter:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, text: str) -> None:
        self.told.append(text)


def reporter(waiter: Waiter) -> Reporter:
    return cast(Reporter, waiter)


def news(text: str) -> Any:
    return lambda each: each.say(text)


class Work:
    """A piece of work that goes on until it is let go."""

    def __init__(self, fails: bool = False) -> None:
        self.begun = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self._fails = fails

    async def __call__(self, audience: Audience) -> str:
        self.begun += 1
        audience.tell(news("began"))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._fails:
            raise ValueError("it broke")
        return "done"


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_who_wait_for_the_same_have_it_done_once_and_are_all_told() -> None:
    shared: SharedWork[str, str] = SharedWork()
    work, waiters = Work(), [Waiter() for _ in range(3)]
    tasks = [asyncio.create_task(shared.join("a", reporter(waiter), work)) for waiter in waiters]
    await turn()
    work.go.set()
    assert await asyncio.gather(*tasks) == ["done"] * 3
    assert work.begun == 1
    assert [waiter.told for waiter in waiters] == [["began"]] * 3


async def test_different_work_is_done_beside_it() -> None:
    shared: SharedWork[str, str] = SharedWork()
    work = Work()
    work.go.set()
    await asyncio.gather(*(shared.join(key, reporter(Waiter()), work) for key in "ab"))
    assert work.begun == 2


async def test_one_who_leaves_does_not_end_it_for_the_others() -> None:
    shared: SharedWork[str, str] = SharedWork()
    work = Work()
    leaves, stays = (asyncio.create_task(shared.join("a", reporter(Waiter()), work)) for _ in range(2))
    await turn()
    leaves.cancel()
    await turn()
    assert work.cancelled == 0
    work.go.set()
    assert await stays == "done"


async def test_when_the_last_one_leaves_it_is_cancelled_and_the_next_begins_anew() -> None:
    shared: SharedWork[str, str] = SharedWork()
    work = Work()
    only = asyncio.create_task(shared.join("a", reporter(Waiter()), work))
    await turn()
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    assert work.cancelled == 1
    work.go.set()
    assert await shared.join("a", reporter(Waiter()), work) == "done"
    assert work.begun == 2


async def test_a_failure_is_everybodys_and_the_next_request_tries_again() -> None:
    shared: SharedWork[str, str] = SharedWork()
    work = Work(fails=True)
    tasks = [asyncio.create_task(shared.join("a", reporter(Waiter()), work)) for _ in range(2)]
    await turn()
    work.go.set()
    for task in tasks:
        with pytest.raises(ValueError, match="it broke"):
            await task
    again = Work()
    again.go.set()
    assert await shared.join("a", reporter(Waiter()), again) == "done"


def test_who_comes_late_is_told_what_was_said_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HISTORY", 2)
    audience, early, late = Audience(), Waiter(), Waiter()
    audience.join(reporter(early))
    for text in "abc":
        audience.tell(news(text))
    audience.join(reporter(late))
    audience.tell(news("d"))
    assert (early.told, late.told, len(audience)) == (list("abcd"), list("bcd"), 2)
    audience.leave(reporter(early))
    audience.tell(news("e"))
    assert (early.told, len(audience)) == (list("abcd"), 1)
