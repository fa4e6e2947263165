"""What a connection has received, and whether it may write."""

from __future__ import annotations

import asyncio

import pytest

from asman_server.delivery.slim import SlimEvent, SlimQueue


async def test_what_comes_is_taken_in_order() -> None:
    mailbox = SlimQueue()
    assert mailbox.empty()
    for number in range(1000):
        mailbox.put_nowait(number)
    assert not mailbox.empty()
    assert [await mailbox.get() for _ in range(1000)] == list(range(1000))
    assert mailbox.empty()


async def test_a_reader_that_waits_gets_what_comes_next() -> None:
    mailbox = SlimQueue()
    reader = asyncio.ensure_future(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put_nowait(1)
    mailbox.put_nowait(2)
    assert [await reader, await mailbox.get()] == [1, 2]


async def test_a_reader_that_gives_up_takes_nothing_with_it() -> None:
    mailbox = SlimQueue()
    for moment in ("before", "after"):
        reader = asyncio.ensure_future(mailbox.get())
        await asyncio.sleep(0)
        if moment == "after":
            mailbox.put_nowait(1)
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()
    assert await mailbox.get() == 1
    assert mailbox.empty()


async def test_there_is_one_reader() -> None:
    mailbox = SlimQueue()
    reader = asyncio.ensure_future(mailbox.get())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await mailbox.get()
    mailbox.put_nowait(1)
    assert await reader == 1


async def test_a_gate_holds_those_who_come_while_it_is_closed() -> None:
    gate = SlimEvent()
    assert gate.is_set()
    await gate.wait()
    gate.clear()
    assert not gate.is_set()
    first, gone, last = (asyncio.ensure_future(gate.wait()) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    assert not first.done()
    gate.set()
    await asyncio.gather(first, last)
    await gate.wait()
    assert gone.cancelled()
