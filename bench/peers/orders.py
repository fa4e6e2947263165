"""The part of a peer's client that is the same for all: takes orders on standard input, measures, gives figures.

An order is a line of JSON with what to ``do``, the answer one with the figures:

``many``: so many ``jobs`` as fast as the client can, until it knows all results; ``seconds``.
``singles``: one after the other for so many ``seconds``, one at least; two lists in microseconds, ``starts`` (from the
call that submits to the worker's first line) and ``results`` (to the result in the client's hands).
``steady``: jobs at a fixed ``rate`` a second for so many ``seconds``, whether or not the earlier ones are done; the
same lists, counted from when a job was due, so that a side that falls behind can't hide it; `TIMER` is forgiven.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

CONCURRENT = 100
"""Jobs that a worker does at a time, where it is a matter of choice."""
THREADS = 64
"""Threads of a blocking client that waits for jobs at a fixed rate."""
MOST_SAMPLES = 20_000
"""Samples of one list: enough for the 99.9th percentile."""

MOST_ASKED = 3000
"""Jobs that are asked for when they began, where that is not in what a client is told."""
TIMER = 1_000_000
"""Nanoseconds that a client's timers may be late, which is not the side's doing: jobs go out in bursts of so long."""

_numbers = count()


def payloads(jobs: int) -> list[str]:
    """Small payloads that were never used before, so that nothing is answered from a cache."""
    return [f"{os.getpid()}-{time.time_ns()}-{next(_numbers)}" for _ in range(jobs)]


class AsyncClient:
    """A client whose library is written for asyncio; each peer fills in the first four."""

    submitting = CONCURRENT
    """Submits on their way at a time in ``many``."""
    waiting = CONCURRENT
    """Results that are waited for at a time in ``many``."""

    async def open(self, address: str) -> None:
        """Connects."""

    async def submit(self, payload: str) -> Any:
        """Submits one job; returns a handle once the system has taken it as its user would want it taken."""
        raise NotImplementedError

    async def result(self, handle: Any) -> int:
        """Waits for a job's result: when its worker began."""
        raise NotImplementedError

    async def close(self) -> None:
        """Disconnects."""

    async def began(self, handles: list[int]) -> list[int]:
        """What `result` gave, as times; a side whose result says it in another way asks here, when nothing is timed."""
        return handles

    async def many(self, wanted: list[str]) -> None:
        """Submits all and waits until every result is known."""
        handles = await each(self.submit, wanted, self.submitting)
        await each(self.result, handles, self.waiting)

    async def one(self, payload: str, due: int) -> tuple[int, int]:
        """Submits and waits; returns what `result` gave, and the nanoseconds since it was due."""
        began = await self.result(await self.submit(payload))
        return began, time.time_ns() - due

    async def singles(self, seconds: float) -> dict[str, list[float]]:
        """Runs one job after the other for some seconds; returns the latencies."""
        samples = _Samples()
        until = time.monotonic() + seconds
        while not samples.due or (time.monotonic() < until and len(samples.due) < MOST_SAMPLES):
            [payload] = payloads(1)
            due = time.time_ns()
            samples.take(due, await self.one(payload, due))
        return await samples.asked(self.began)

    async def steady(self, rate: float, seconds: float) -> dict[str, list[float]]:
        """Submits jobs at a fixed rate for some seconds; returns the latencies."""
        samples = _Samples()

        async def sample(payload: str, due: int) -> None:
            samples.take(due, await self.one(payload, due))

        begun = time.time_ns()
        async with asyncio.TaskGroup() as group:
            for n, payload in enumerate(payloads(min(MOST_SAMPLES, max(1, round(rate * seconds))))):
                due = begun + int(n / rate * 1e9)
                left = due - time.time_ns()
                await asyncio.sleep(max(left, TIMER) / 1e9 if left > 0 else 0)
                group.create_task(sample(payload, counted_from(due)))
        return await samples.asked(self.began)


class BlockingClient:
    """A client whose library blocks; each peer fills in the first four, as in `AsyncClient`."""

    def open(self, address: str) -> None:
        """Connects."""

    def submit(self, payload: str) -> Any:
        """Submits one job; returns a handle."""
        raise NotImplementedError

    def result(self, handle: Any) -> int:
        """Waits for a job's result."""
        raise NotImplementedError

    def close(self) -> None:
        """Disconnects."""

    def many(self, wanted: list[str]) -> None:
        """Submits all and waits until every result is known."""
        for handle in [self.submit(payload) for payload in wanted]:
            self.result(handle)

    def one(self, payload: str, due: int) -> tuple[int, int]:
        """Submits and waits."""
        began = self.result(self.submit(payload))
        return began, time.time_ns() - due

    def singles(self, seconds: float) -> dict[str, list[float]]:
        """Runs one job after the other for some seconds; returns the latencies."""
        samples = _Samples()
        until = time.monotonic() + seconds
        while not samples.due or (time.monotonic() < until and len(samples.due) < MOST_SAMPLES):
            [payload] = payloads(1)
            due = time.time_ns()
            samples.take(due, self.one(payload, due))
        return samples.figures()

    def steady(self, rate: float, seconds: float) -> dict[str, list[float]]:
        """Submits jobs at a fixed rate, with a thread for each job in flight; returns the latencies."""
        samples = _Samples()
        begun = time.time_ns()
        with ThreadPoolExecutor(THREADS) as threads:
            waiting = []
            for n, payload in enumerate(payloads(min(MOST_SAMPLES, max(1, round(rate * seconds))))):
                due = begun + int(n / rate * 1e9)
                left = due - time.time_ns()
                time.sleep(max(left, TIMER) / 1e9 if left > 0 else 0)
                due = counted_from(due)
                waiting.append((due, threads.submit(self.one, payload, due)))
            for due, future in waiting:
                samples.take(due, future.result())
        return samples.figures()


class _Samples:
    def __init__(self) -> None:
        self.due: list[int] = []
        self.began: list[Any] = []
        self.results: list[float] = []

    def take(self, due: int, sample: tuple[Any, int]) -> None:
        self.due.append(due)
        self.began.append(sample[0])
        self.results.append(sample[1] / 1000)

    async def asked(self, began: Callable[[list[Any]], Awaitable[list[int]]]) -> dict[str, list[float]]:
        """The figures, with the starts of every so manieth job where there are too many to ask for."""
        every = max(1, -(-len(self.due) // MOST_ASKED))
        due = self.due[::every]
        return _figures(due, await began(self.began[::every]), self.results)

    def figures(self) -> dict[str, list[float]]:
        return _figures(self.due, self.began, self.results)


def _figures(due: list[int], began: list[int], results: list[float]) -> dict[str, list[float]]:
    return {"starts": [(start - at) / 1000 for start, at in zip(began, due, strict=True)], "results": results}


def counted_from(due: int) -> int:
    """When the time of a job that goes out now begins: when it was due, or up to `TIMER` later."""
    return min(time.time_ns(), due + TIMER)


async def each(do: Callable[[T], Coroutine[Any, Any, R]], items: Sequence[T], limit: int) -> list[R]:
    """What ``do`` gives for each, in their order, with so many at a time."""
    found: list[R | None] = [None] * len(items)
    left = iter(enumerate(items))

    async def go_on() -> None:
        for index, item in left:
            found[index] = await do(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(limit, len(items))):
            group.create_task(go_on())
    return found  # type: ignore[return-value]  # each was set


def serve(client: AsyncClient | BlockingClient, address: str) -> None:
    """Carries out orders until the standard input ends; what a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:

        def done(value: Any) -> Any:
            return runner.run(value) if asyncio.iscoroutine(value) else value

        done(client.open(address))
        for line in sys.stdin:
            order = json.loads(line)
            do = order.pop("do")
            if do == "many":
                wanted = payloads(order["jobs"])
                begun = time.perf_counter()
                done(client.many(wanted))
                answer: Any = {"seconds": time.perf_counter() - begun}
            else:
                answer = done(getattr(client, do)(**order))
            answers.write(json.dumps(answer) + "\n")
        done(client.close())


def run(work: Callable[[str], Any], client: type[AsyncClient | BlockingClient], *more: Callable[[str], Any]) -> None:
    """The whole of a peer's program: ``PROGRAM ROLE ADDRESS``, where the role is ``client`` or a function's name."""
    role, address = sys.argv[1:]
    if role == "client":
        serve(client(), address)
        return
    [chosen] = [each for each in (work, *more) if each.__name__ == role]
    if asyncio.iscoroutinefunction(chosen):
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(chosen(address))
    else:
        chosen(address)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop where the peer's environment has it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
