"""A thread for one thing after the other: order, errors, cancelled waits and the end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asman_server.storage.writer_thread import WriterThread
from devtools.patience import PATIENCE


async def test_one_thing_is_done_after_the_other_in_a_thread_of_its_own() -> None:
    thread, seen, names = WriterThread("asman-test"), list[int](), set[str]()

    def work(number: int) -> None:
        names.add(threading.current_thread().name)
        seen.append(number)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(thread.run(lambda n=number: work(n)) for number in range(100)))  # type: ignore[misc]
    assert seen == list(range(100))
    assert names == {"asman-test"}
    thread.close(lambda: None)


async def test_what_is_raised_is_raised_to_who_waits_and_the_thread_goes_on() -> None:
    thread = WriterThread("asman-test")

    def broken() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        await thread.run(broken)
    await thread.run(lambda: None)
    thread.close(lambda: None)


async def test_what_follows_is_not_waited_for_and_comes_before_what_is_asked_for_later() -> None:
    thread, may_end, seen = WriterThread("asman-test"), threading.Event(), list[str]()

    def following() -> None:
        may_end.wait(PATIENCE)
        seen.append("following")

    async with asyncio.timeout(PATIENCE):
        await thread.run(lambda: seen.append("work"), following)
        assert seen == ["work"]
        later = asyncio.ensure_future(thread.run(lambda: seen.append("later")))
        may_end.set()
        await later
    assert seen == ["work", "following", "later"]
    thread.close(lambda: None)


async def test_what_follows_may_fail_and_follows_nothing_that_failed() -> None:
    thread, seen = WriterThread("asman-test"), list[str]()

    def broken() -> None:
        seen.append("broken")
        raise RuntimeError("broken")

    async with asyncio.timeout(PATIENCE):
        await thread.run(lambda: None, broken)
        with pytest.raises(RuntimeError):
            await thread.run(broken, lambda: seen.append("left out"))
        await thread.run(lambda: seen.append("later"))
    assert seen == ["broken", "broken", "later"]
    thread.close(lambda: None)


async def test_who_is_cancelled_waits_no_more_and_what_has_begun_goes_on_before_what_comes_later() -> None:
    thread, begun, may_end, seen = WriterThread("asman-test"), threading.Event(), threading.Event(), list[str]()

    def slow() -> None:
        begun.set()
        may_end.wait(PATIENCE)
        seen.append("slow")

    first = asyncio.ensure_future(thread.run(slow))
    second = asyncio.ensure_future(thread.run(lambda: seen.append("left out")))
    third = asyncio.ensure_future(thread.run(lambda: seen.append("later")))
    await asyncio.to_thread(begun.wait, PATIENCE)
    first.cancel()
    second.cancel()
    for cancelled in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    assert not third.done()
    may_end.set()
    async with asyncio.timeout(PATIENCE):
        await third
    assert seen == ["slow", "later"]
    thread.close(lambda: None)


async def test_it_closes_when_all_is_done_and_may_be_used_again() -> None:
    thread, seen = WriterThread("asman-test"), list[str]()
    thread.close(lambda: seen.append("never begun"))
    assert seen == []
    waiting = asyncio.ensure_future(thread.run(lambda: seen.append("work")))
    await asyncio.sleep(0)
    thread.close(lambda: seen.append("last"))
    assert seen == ["work", "last"]
    await waiting
    await thread.run(lambda: seen.append("again"))
    assert seen == ["work", "last", "again"]
    thread.close(lambda: None)


def test_a_loop_that_was_closed_meanwhile_stops_nothing() -> None:
    thread, begun, may_end = WriterThread("asman-test"), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        may_end.wait(PATIENCE)

    async def leave() -> None:
        running = asyncio.ensure_future(thread.run(slow))
        await asyncio.to_thread(begun.wait, PATIENCE)
        running.cancel()

    asyncio.run(leave())
    may_end.set()
    seen: list[str] = []
    asyncio.run(thread.run(lambda: seen.append("another loop")))
    assert seen == ["another loop"]
    thread.close(lambda: None)
