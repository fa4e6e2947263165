"""The deliverer against an outbox and a receiver in memory, on a clock that jumps."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import msgspec
import pytest

from asman_server.storage.commit import WebhookRow
from asman_server.webhooks import deliver as webhooks
from asman_server.webhooks import sender as webhook_sender
from asman_server.webhooks.deliver import Deliverer, pause_after
from asman_server.webhooks.sender import NotDelivered
from asman_shared.errors import Unavailable
from tests.simulation.loop import run_virtual, virtual_clock

Send = Callable[[WebhookRow], Awaitable[None]]


class MemoryOutbox:
    """Outbox and settlement in one; what is settled is written a moment later, as the group commit does."""

    def __init__(self) -> None:
        self.rows: dict[str, WebhookRow] = {}
        self.away = False
        self.reads = 0

    def put(self, name: str, host: str = "h:443", created: int | None = None) -> None:
        now = virtual_clock()
        self.rows[name] = WebhookRow(name, "q", "queued", host, "https://h/", b"{}", created or now, 0, now)

    async def webhooks(self, limit: int, ids: Collection[str], hosts: Collection[str]) -> list[WebhookRow]:
        self.reads += 1
        await asyncio.sleep(0.001)
        if self.away:
            raise Unavailable("away")
        found = [r for r in self.rows.values() if r.id not in ids and r.host not in hosts]
        return [msgspec.structs.replace(r) for r in sorted(found, key=lambda r: r.due)[:limit]]

    def webhook_later(self, row: WebhookRow, tries: int, due: int, done: Callable[[], None]) -> None:
        def write() -> None:
            self.rows[row.id].tries, self.rows[row.id].due = tries, due
            done()

        asyncio.get_running_loop().call_later(0.01, write)

    def webhook_done(self, row: WebhookRow, done: Callable[[], None]) -> None:
        def write() -> None:
            del self.rows[row.id]
            done()

        asyncio.get_running_loop().call_later(0.01, write)


class Stage:
    """A deliverer at work until the outbox is empty."""

    def __init__(self, send: Send) -> None:
        self.outbox = MemoryOutbox()
        self.as_result: list[tuple[str, float]] = []
        self._send = send
        self.deliverer = Deliverer(self.outbox, self.outbox, self.send, virtual_clock, draw=lambda: 0.5)

    async def send(self, row: WebhookRow) -> None:
        self.as_result.append((row.id, asyncio.get_running_loop().time()))
        await self._send(row)

    async def play(self, seconds: float = 1e6) -> None:
        running = asyncio.ensure_future(self.deliverer.run())
        try:
            async with asyncio.timeout(seconds):
                while self.outbox.rows:
                    assert not running.done()
                    await asyncio.sleep(0.01 if seconds < 1e5 else 1)
        finally:
            running.cancel()
            await asyncio.wait([running])


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test)

    run.__name__ = test.__name__
    return run


async def delivered(_row: WebhookRow) -> None:
    await asyncio.sleep(0.01)


async def failed(_row: WebhookRow) -> None:
    raise NotDelivered("it answered 500")


@on_virtual_time
async def test_what_is_in_the_outbox_is_delivered_once() -> None:
    stage = Stage(delivered)
    for n in range(200):
        stage.outbox.put(f"w{n}", host=f"h{n % 40}:443")
    await stage.play(60)
    assert Counter(name for name, _ in stage.as_result) == {f"w{n}": 1 for n in range(200)}


@on_virtual_time
async def test_a_failing_receiver_is_tried_for_hours_with_growing_pauses_and_then_given_up() -> None:
    stage = Stage(failed)
    stage.outbox.put("w")
    await stage.play()
    times = [at for _, at in stage.as_result]
    assert len(times) == webhooks.TRIES
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(webhooks.FIRST_PAUSE, abs=0.5)
    assert 5 * 3600 < times[-1] < 7 * 3600


@on_virtual_time
async def test_it_is_delivered_when_the_receiver_comes_back() -> None:
    async def send(_row: WebhookRow) -> None:
        if asyncio.get_running_loop().time() < 100:
            raise NotDelivered("it can't be reached")

    stage = Stage(send)
    stage.outbox.put("w")
    await stage.play()
    assert 2 < len(stage.as_result) < webhooks.TRIES
    assert stage.as_result[-1][1] >= 100


@on_virtual_time
async def test_what_can_never_succeed_is_given_up_at_once() -> None:
    async def send(_row: WebhookRow) -> None:
        raise NotDelivered("its address is loopback", final=True)

    stage = Stage(send)
    stage.outbox.put("w")
    await stage.play(1)
    assert len(stage.as_result) == 1


@on_virtual_time
async def test_calls_are_bounded_in_all_and_per_host() -> None:
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def send(row: WebhookRow) -> None:
        now[row.host] += 1
        now["all"] += 1
        most.update({key: now[key] - most[key] for key in (row.host, "all") if now[key] > most[key]})
        await asyncio.sleep(1)
        now[row.host] -= 1
        now["all"] -= 1

    stage = Stage(send)
    for n in range(400):
        stage.outbox.put(f"w{n}", host=f"h{n % 10}:443")
    await stage.play(300)
    assert most.pop("all") == webhooks.CALLS
    assert set(most.values()) == {webhooks.CALLS_PER_HOST}


@on_virtual_time
async def test_a_slow_host_with_many_calls_does_not_hold_up_others() -> None:
    async def send(row: WebhookRow) -> None:
        await asyncio.sleep(9 if row.host == "slow:443" else 0.01)

    stage = Stage(send)
    for n in range(500):
        stage.outbox.put(f"slow{n}", host="slow:443")
    for n in range(50):
        stage.outbox.put(f"fast{n}", host=f"fast{n % 5}:443")
    running = asyncio.ensure_future(stage.deliverer.run())
    while any(name.startswith("fast") for name in stage.outbox.rows):
        await asyncio.sleep(0.1)
        assert asyncio.get_running_loop().time() < 5
    running.cancel()
    await asyncio.wait([running])


@on_virtual_time
async def test_a_receiver_that_never_answers_is_left_after_the_timeout() -> None:
    async def send(_row: WebhookRow) -> None:
        if len(stage.as_result) == 1:
            await asyncio.Event().wait()

    stage = Stage(send)
    stage.outbox.put("w")
    await stage.play()
    assert stage.as_result[1][1] - stage.as_result[0][1] == pytest.approx(
        webhook_sender.TIMEOUT + webhooks.FIRST_PAUSE, abs=0.5
    )


@on_virtual_time
async def test_an_unforeseen_error_is_a_failed_try_and_harms_nobody_else() -> None:
    async def send(row: WebhookRow) -> None:
        if row.id == "bad" and len(stage.as_result) < 3:
            raise RuntimeError("a bug")

    stage = Stage(send)
    stage.outbox.put("bad")
    stage.outbox.put("good")
    await stage.play()
    assert Counter(name for name, _ in stage.as_result)["good"] == 1


@on_virtual_time
async def test_an_outbox_that_can_t_be_read_is_read_again_later() -> None:
    stage = Stage(delivered)
    stage.outbox.put("w")
    stage.outbox.away = True
    asyncio.get_running_loop().call_later(30, setattr, stage.outbox, "away", False)
    await stage.play()
    assert len(stage.as_result) == 1
    assert stage.outbox.reads < 50


@on_virtual_time
async def test_what_is_older_than_is_kept_is_dropped_untried() -> None:
    stage = Stage(delivered)
    stage.outbox.put("old", created=virtual_clock() - webhooks.KEPT)
    stage.outbox.put("new")
    await stage.play(10)
    assert [name for name, _ in stage.as_result] == ["new"]


@on_virtual_time
async def test_an_empty_outbox_is_hardly_looked_at() -> None:
    stage = Stage(delivered)
    running = asyncio.ensure_future(stage.deliverer.run())
    await asyncio.sleep(3600)
    assert stage.outbox.reads <= 3600 / webhooks.IDLE + 1
    stage.outbox.put("w")
    stage.deliverer.wake()
    await asyncio.sleep(1)
    assert len(stage.as_result) == 1
    running.cancel()
    await asyncio.wait([running])


def test_pauses_grow_and_are_spread() -> None:
    for tries in range(1, webhooks.TRIES):
        shortest, middle, longest = (pause_after(tries, draw) for draw in (0, 0.5, 1))
        assert shortest < middle < longest
        assert shortest == pytest.approx(middle * (1 - webhooks.JITTER), abs=1)
        assert middle < pause_after(tries + 1, 0.5)
