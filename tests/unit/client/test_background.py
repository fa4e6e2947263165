"""The event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from asman.background import BackgroundLoop


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
