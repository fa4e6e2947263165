"""The measuring part of a peer's client, with clients that answer at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from bench.peers import orders
from bench.peers.orders import TIMER, AsyncClient, BlockingClient, counted_from, each, payloads


class AtOnce(AsyncClient):
    """Says that each job began a while before it was asked."""

    def __init__(self) -> None:
        self.submitted: list[str] = []
        self.known: list[Any] = []

    async def submit(self, payload: str) -> Any:
        self.submitted.append(payload)
        return payload

    async def result(self, handle: Any) -> int:
        self.known.append(handle)
        return time.time_ns()


class TellsLater(AtOnce):
    """Has to be asked for when its jobs began."""

    async def result(self, handle: Any) -> Any:
        return handle

    async def began(self, handles: list[Any]) -> list[int]:
        self.known += handles
        return [time.time_ns() for _ in handles]


class Blocking(BlockingClient):
    def __init__(self) -> None:
        self.submitted: list[str] = []
        self.known: list[Any] = []

    def submit(self, payload: str) -> Any:
        self.submitted.append(payload)
        return payload

    def result(self, handle: Any) -> int:
        self.known.append(handle)
        return time.time_ns()


def test_no_payload_comes_twice() -> None:
    assert len({*payloads(500), *payloads(500)}) == 1000


async def test_many_waits_for_every_result() -> None:
    client = AtOnce()
    wanted = payloads(500)
    await client.many(wanted)
    assert sorted(client.submitted) == sorted(client.known) == sorted(wanted)
    blocking = Blocking()
    await asyncio.to_thread(blocking.many, wanted)
    assert blocking.known == wanted


async def test_a_fixed_rate_gives_a_sample_of_every_job_from_when_it_was_due() -> None:
    client = AtOnce()
    found = await client.steady(rate=1000, seconds=0.05)
    assert len(client.submitted) == len(found["starts"]) == len(found["results"]) == 50
    assert all(0 <= start <= result for start, result in zip(found["starts"], found["results"], strict=True))
    blocking = Blocking()
    assert len((await asyncio.to_thread(blocking.steady, 1000, 0.05))["results"]) == 50


async def test_a_side_that_falls_behind_a_fixed_rate_can_not_hide_it() -> None:
    class Slow(AtOnce):
        async def submit(self, payload: str) -> Any:
            time.sleep(0.002)  # noqa: ASYNC251  # a client that is busy
            return await super().submit(payload)

    found = await Slow().steady(rate=10_000, seconds=0.002)
    assert len(found["results"]) == 20
    assert max(found["results"]) >= 1000 * (20 * 2 - 2 - 1)  # the last, due after 2 ms, went out after at least 40


def test_a_job_counts_from_when_it_was_due_but_for_what_a_timer_is_late() -> None:
    now = time.time_ns()
    assert counted_from(now - 10 * TIMER) == now - 9 * TIMER
    assert now <= counted_from(now) <= now + TIMER
    ahead = now + 3600 * 10**9
    assert counted_from(ahead) < ahead  # it can't begin before it is sent


async def test_at_least_one_job_is_done_at_a_fixed_rate() -> None:
    assert len((await AtOnce().steady(rate=0.001, seconds=1))["results"]) == 1


async def test_one_at_a_time_gives_one_sample_at_least_however_short_the_time() -> None:
    for client in (AtOnce(), TellsLater()):
        found = await client.singles(seconds=1e-9)
        assert len(found["starts"]) == len(found["results"]) == len(client.submitted) == 1
    blocking = Blocking()
    found = await asyncio.to_thread(blocking.singles, 1e-9)
    assert len(found["starts"]) == len(found["results"]) == 1


async def test_of_very_many_jobs_only_some_are_asked_for_when_they_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "MOST_ASKED", 10)
    client = TellsLater()
    found = await client.steady(rate=1_000_000, seconds=0.000031)
    assert client.known == client.submitted[::4]
    assert (len(found["starts"]), len(found["results"])) == (8, 31)


async def test_items_keep_their_order_and_no_more_than_the_limit_are_under_way() -> None:
    under_way: set[int] = set()
    most = 0

    async def double(item: int) -> int:
        nonlocal most
        under_way.add(item)
        most = max(most, len(under_way))
        for _ in range(item % 3):
            await asyncio.sleep(0)
        under_way.discard(item)
        return 2 * item

    assert await each(double, range(50), 7) == list(range(0, 100, 2))
    assert most == 7
    assert await each(double, [], 7) == []
