"""A job that writes as fast as it can: everybody gets every line that is kept, in order, and the hub stays small."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psutil
import pytest

import asman
from asman_shared.messages import LogBatch, LogLine
from asman_shared.units import MIB
from devtools.asman_processes import HubProcess, asman_command, clean_environment
from devtools.patience import PATIENCE
from tests.support.api import opened_api
from tests.support.plain_worker import Message, PlainWorker, plain_worker

LINES = 100_000
BATCH = 1000


def text(seq: int) -> str:
    return f"{seq} é" + "." * 20


def batches(about: Message) -> Iterator[bytes]:
    for first in range(0, LINES, BATCH):
        lines = [LogLine(seq, 1, 0, text(seq)) for seq in range(first, first + BATCH)]
        yield msgspec.msgpack.encode([LogBatch(about["job"], about["attempt"], lines)])


async def flood(worker: PlainWorker, about: Message, exit_code: int = 0) -> None:
    for frame in batches(about):
        await worker.send_frame(frame)
    await worker.finish(about, exit_code, lines=LINES)


async def read(url: str, job: str, begun: asyncio.Event | None = None) -> list[Any]:
    """All of a job's log as one line of text for each of the job's, and the gaps as (since, lines)."""
    seen: list[Any] = []
    async with asman.connect(url) as queue:
        followed = await queue.get(job)
        async for line in followed.logs():
            if begun is not None:
                begun.set()
            seen.append((line.seq, line.missing) if line.missing else line.text)
        assert (await followed.wait()).ok
    return seen


def printed(url: str, job: str, *options: str) -> subprocess.Popen[bytes]:
    command = [*asman_command(), "job", "logs", url, job, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment())


@pytest.mark.timeout(PATIENCE)
async def test_a_flood_reaches_who_was_there_and_who_comes_late(hub_process: Callable[..., HubProcess]) -> None:
    hub = await asyncio.to_thread(hub_process)
    url = hub.queue("f")
    everything = [text(seq) for seq in range(LINES)]
    async with opened_api(hub.url) as api, plain_worker(hub.url, "f") as worker:
        job = await api.submit("f")
        about = await worker.assigned()
        begun = asyncio.Event()
        following = asyncio.create_task(read(url, job, begun))
        await worker.log(about, 0, text(0))
        await begun.wait()
        before = psutil.Process(hub.pid).memory_info().rss
        with printed(url, job, "--follow") as command:
            output = asyncio.create_task(asyncio.to_thread(command.communicate))
            await flood(worker, about)
            assert await following == everything
            assert (await output)[0].decode().splitlines() == everything
        grown = psutil.Process(hub.pid).memory_info().rss - before
        assert grown < 80 * MIB, f"the hub has grown by {grown / MIB:.0f} MiB"
        assert await read(url, job) == everything
        with printed(url, job) as command:
            assert (await asyncio.to_thread(command.communicate))[0].decode().splitlines() == everything
        late = await api.get(f"/q/f/jobs/{job}/log", headers={"Accept": "text/plain"})
        assert late.text.splitlines() == everything


@pytest.mark.timeout(PATIENCE)
async def test_of_a_flood_past_the_bound_the_gap_between_head_and_tail_is_exact(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process, "--log-limit", "1MiB")
    async with opened_api(hub.url) as api, plain_worker(hub.url, "f") as worker:
        assert worker.registered["log_limit"] == MIB
        job = await api.submit("f")
        await flood(worker, await worker.assigned())
        seen = await read(hub.queue("f"), job)
        at = next(at for at, one in enumerate(seen) if not isinstance(one, str))
        since, missing = seen.pop(at)
        assert since == at
        assert seen == [text(seq) for seq in range(LINES) if not since <= seq < since + missing]
        kept = sum(len(one) + 32 for one in seen)
        assert 0.8 * MIB < kept < 1.2 * MIB
        assert abs(2 * since - len(seen)) < len(seen) // 4, "half of it is head"
        summary = (await api.get(f"/q/f/jobs/{job}/summary")).json
        assert (summary["missing"], summary["gaps"]) == (missing, [{"since": since, "until": since + missing}])
