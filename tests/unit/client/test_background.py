"""The event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from asman.background import BackgroundLoop
from asman_shared.errors import ConnectionFailed


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    made = BackgroundLoop()
    yield made
    made.stop()


def test_a_coroutine_runs_there_and_its_result_or_error_comes_back(loop: BackgroundLoop) -> None:
    async def where() -> int:
        return threading.get_ident()

    async def fail() -> None:
        raise LookupError("nothing")

    assert loop.run(where()) not in (0, threading.get_ident())
    with pytest.raises(LookupError, match="nothing"):
        loop.run(fail())


def test_an_interrupt_here_cancels_the_coroutine_there(loop: BackgroundLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    start = loop.start

    def interrupted(coroutine: object) -> object:
        future = start(coroutine)  # type: ignore[arg-type, var-annotated]

        def result() -> None:
            begun.wait(10)
            raise KeyboardInterrupt

        monkeypatch.setattr(future, "result", result)
        return future

    monkeypatch.setattr(loop, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run(work())
    assert cancelled.wait(10)
    monkeypatch.undo()


def test_an_iteration_that_is_left_early_closes_its_source(loop: BackgroundLoop) -> None:
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
        finally:
            closed.append("yes")

    items = loop.each(numbers())
    assert [next(items), next(items)] == [0, 1]
    items.close()  # type: ignore[attr-defined]
    assert closed == ["yes"]
    assert list(loop.each(numbers())) == list(range(1000))


def test_a_stopped_loop_has_no_thread_and_ignores_calls() -> None:
    loop = BackgroundLoop()
    thread = loop._thread
    loop.stop()
    assert not thread.is_alive()
    loop.call(lambda: pytest.fail("called after the end"))


def test_an_interrupt_in_a_loop_over_items_is_a_keyboard_interrupt(loop: BackgroundLoop) -> None:
    closed = threading.Event()

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # as one that ends its own tasks does
            closed.set()

    found = []
    with pytest.raises(KeyboardInterrupt):
        for item in loop.each(items()):
            found.append(item)
    assert found == [1]
    assert closed.is_set()


def test_a_stopped_loop_refuses_work_and_closes_its_coroutine() -> None:
    async def work() -> None:
        """Does nothing."""

    loop = BackgroundLoop()
    loop.stop()
    loop.stop()
    for run in (loop.run, loop.start):
        coroutine = work()
        with pytest.raises(ConnectionFailed, match="closed"):
            run(coroutine)
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_what_runs_on_a_loop_ends_when_it_is_stopped() -> None:
    loop = BackgroundLoop()
    begun = threading.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(lambda: loop.run(work()))
        begun.wait()
        loop.stop()
        with pytest.raises(ConnectionFailed, match="closed"):
            waits.result()
