"""A real hub on SQLite with a deep queue: memory, the time to take it up again, lists, and the next assignment."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import msgspec
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from asman_server.core import Job
from asman_server.storage.commit import Commit, JobRow
from asman_server.storage.database import make_engine, migrate
from asman_server.storage.reader import pack_definition
from asman_server.storage.row_kinds import DEFINITIONS, JOBS
from asman_server.storage.sql_writer import SqlWriter
from asman_shared.units import GIB
from bench.depth_jobs import definition, submitted
from bench.measure import Report, rss
from devtools.asman_processes import HubProcess

CHUNK = 20_000
RESTARTS = 3
ROUNDS = 15
CYCLES = 100
PAGES = 20
SUBMITTED = 500_000
IN_FRAME = 500
SHALLOW = 10
PATIENCE = 120.0
"""Seconds in which a hub must have started."""
NOW = 1_700_000_000_000


def _rows(queue: str, numbers: Iterator[int], jobs: int) -> Iterator[Commit]:
    """Commits that put jobs into a queue, as the group commit would have written them."""
    rows: list[JobRow] = []
    definitions: list[tuple[str, bytes]] = []
    for place in range(1, jobs + 1):
        number = next(numbers)
        event = submitted(number)
        job = Job(
            id=event.job,
            number=place,
            summary=event.summary,
            shape=event.shape,
            rev=1,
            holders=("_",),
            queued=NOW + place // 20,
        )
        rows.append(JobRow(queue, job.id, place, job.state.value, 0, job.pack()))
        definitions.append((job.id, pack_definition(definition(number))))
        if len(rows) == CHUNK or place == jobs:
            yield Commit({DEFINITIONS: DEFINITIONS.puts(definitions), JOBS: JOBS.puts(rows)})
            rows, definitions = [], []


async def fill(folder: Path, numbers: Iterator[int], queues: dict[str, int]) -> float:
    """Writes queued jobs into a new database; returns the seconds it took."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    engine = make_engine(f"sqlite:///{folder / 'hub.sqlite'}")
    await migrate(engine)
    writer = SqlWriter(engine.dialect)
    begun = time.monotonic()
    for queue, jobs in queues.items():
        for commit in _rows(queue, numbers, jobs):
            async with engine.begin() as connection:
                await connection.run_sync(writer.write, commit)
    await engine.dispose()
    return time.monotonic() - begun


class _Socket:
    """One end of the native protocol on msgpack."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._waiting: list[dict[str, Any]] = []

    async def say(self, *messages: dict[str, Any]) -> None:
        await self._socket.send(msgpack.packb(messages))

    async def send(self, frame: bytes) -> None:
        """Sends a frame that is made already."""
        await self._socket.send(frame)

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; others are kept."""
        while True:
            for at, message in enumerate(self._waiting):
                if message["type"] == kind:
                    return self._waiting.pop(at)
            frame = await self._socket.recv()
            assert isinstance(frame, bytes)
            self._waiting += msgpack.unpackb(frame)


@asynccontextmanager
async def dialled(hub: HubProcess, queue: str, who: str, **first: Any) -> AsyncIterator[_Socket]:
    address = f"{hub.queue(queue)}/{who}".replace("http", "ws", 1)
    async with connect(
        address, subprotocols=[Subprotocol("asman.v1.msgpack")], compression=None, max_size=None, ping_interval=None
    ) as socket:
        made = _Socket(socket)
        await made.say(first)
        yield made


def registration(name: str) -> dict[str, Any]:
    return {"type": "register", "incarnation": f"bench-{name}-000000001", "name": name, "cpus": 1, "memory": 100 * GIB}


async def _longest_wait(hub: HubProcess) -> float:
    """Asks the hub for its health again and again until cancelled; the longest that an answer took."""
    longest = 0.0
    async with aiohttp.ClientSession() as session:
        while True:
            begun = time.monotonic()
            try:
                async with session.get(f"{hub.url}/healthz") as answer:
                    await answer.read()
                longest = max(longest, time.monotonic() - begun)
                await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                return max(longest, time.monotonic() - begun)


async def _restarts(hub: HubProcess, empty: HubProcess, report: Report, jobs: int) -> None:
    """Starts the hub again and again, with a worker that comes at once, beside one that has nothing to take up."""
    figures: dict[str, list[float]] = {"empty": [], "first": [], "memory": [], "peak": []}
    for _ in range(RESTARTS):
        begun = time.monotonic()
        await asyncio.to_thread(empty.start)
        figures["empty"].append(time.monotonic() - begun)
        idle = rss(empty.pid)
        await asyncio.to_thread(empty.kill)
        begun = time.monotonic()
        await asyncio.to_thread(hub.start, PATIENCE)
        async with dialled(hub, "deep", "worker", **registration("deep")) as worker:
            await worker.next("assign")
            figures["first"].append(time.monotonic() - begun)
            await asyncio.sleep(1)
            figures["memory"].append((rss(hub.pid) - idle) / jobs)
            figures["peak"].append((_peak(hub.pid) - idle) / jobs)
        await asyncio.to_thread(hub.kill)
    report.add("hub: process start to healthy, nothing to take up", "s", figures["empty"])
    report.add(f"hub: process start to the first assignment, {jobs:,} stored", "s", figures["first"])
    report.add("hub: memory per queued job, taken up from the database", "bytes", figures["memory"], "1,024")
    report.add("hub: the same, at its highest", "bytes", figures["peak"])


async def _first_use(hub: HubProcess, report: Report) -> None:
    """A queue that is not at work is loaded at its first use; how long others wait for an answer meanwhile."""
    await asyncio.to_thread(hub.start)
    asking = asyncio.create_task(_longest_wait(hub))
    async with dialled(hub, "deep", "worker", **registration("deep")) as worker:
        await worker.next("assign")
        asking.cancel()
        report.add("hub: longest that others waited while the queue was loaded", "s", [await asking])
    await asyncio.to_thread(hub.kill)


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return int(psutil.Process(pid).memory_info().rss)


async def _lists(hub: HubProcess, report: Report) -> None:
    """First and far pages of the deep queue beside those of the shallow one."""
    times: dict[str, list[float]] = {"shallow": [], "deep": [], "far": []}
    paths = {
        "shallow": f"{hub.queue('shallow')}/jobs?limit=100",
        "deep": f"{hub.queue('deep')}/jobs?limit=100",
        "far": f"{hub.queue('deep')}/jobs?limit=100&before=500",
    }
    async with aiohttp.ClientSession() as session:
        for _ in range(PAGES):
            for name, path in paths.items():
                begun = time.monotonic()
                async with session.get(path) as answer:
                    body = await answer.read()
                    assert answer.status == 200, body
                times[name].append((time.monotonic() - begun) * 1000)
    report.add("hub: list: a page of the shallow queue (all of it)", "ms", times["shallow"])
    report.add("hub: list: the first 100 of the deep queue", "ms", times["deep"])
    report.add("hub: list: 100 at the far end of the deep queue", "ms", times["far"])


async def _assignments(hub: HubProcess, report: Report, numbers: Iterator[int]) -> None:
    """Finishes jobs and waits for the next, in both queues by turns; as many are submitted as are finished."""
    medians: dict[str, list[float]] = {"shallow": [], "deep": []}
    hello = {"type": "hello"}
    async with (
        dialled(hub, "shallow", "worker", **registration("shallow")) as shallow,
        dialled(hub, "deep", "worker", **registration("deep")) as deep,
        dialled(hub, "shallow", "client", **hello) as shallow_client,
        dialled(hub, "deep", "client", **hello) as deep_client,
    ):
        sides = {"shallow": (shallow, shallow_client), "deep": (deep, deep_client)}
        held = {name: await worker.next("assign") for name, (worker, _) in sides.items()}
        for _ in range(ROUNDS):
            for name, (worker, client) in sides.items():
                times = []
                for _ in range(CYCLES):
                    await client.say(submit(next(numbers)))
                    await client.next("accepted")
                    about = {"job": held[name]["job"], "attempt": held[name]["attempt"]}
                    begun = time.perf_counter()
                    await worker.say({"type": "finished", "outcome": {"kind": "exited", "exit_code": 0}, **about})
                    held[name] = await worker.next("assign")
                    times.append((time.perf_counter() - begun) * 1000)
                    await worker.next("acknowledged")
                medians[name].append(sorted(times)[len(times) // 2])
    ratios = [there / here for here, there in zip(medians["shallow"], medians["deep"], strict=True)]
    report.add("hub: real worker, finished to the next assignment: deep against shallow", "x", ratios)
    report.add(f"hub: the same, with {SHALLOW} queued", "ms", medians["shallow"])
    report.add("hub: the same, deep", "ms", medians["deep"])


def submit(number: int) -> dict[str, Any]:
    made = msgspec.to_builtins(definition(number))
    return {"type": "submit", "ref": number + 1, "definition": made, "follow": False}


async def _submissions(hub: HubProcess, report: Report, numbers: Iterator[int], jobs: int) -> None:
    """Submits many jobs over one connection and looks at what they cost the hub."""
    await asyncio.to_thread(hub.start)
    async with dialled(hub, "fresh", "client", type="hello") as client:
        before = rss(hub.pid)
        begun = time.monotonic()
        for _ in range(0, jobs, IN_FRAME):
            await client.say(*(submit(next(numbers)) for _ in range(IN_FRAME)))
            for _ in range(IN_FRAME):
                await client.next("accepted")
        seconds = time.monotonic() - begun
        await asyncio.sleep(1)
        report.add(f"hub: memory per job, {jobs:,} newly submitted", "bytes", [(rss(hub.pid) - before) / jobs])
        report.add("hub: submissions, each answered after its commit", "jobs/s", [jobs / seconds])


async def measure(report: Report, jobs: int) -> None:
    """Measures a hub whose queue has ``jobs`` queued jobs and adds the figures to the report."""
    numbers = count(10_000_000)
    with tempfile.TemporaryDirectory(prefix="asman-bench-") as folder:
        hub = HubProcess(Path(folder))
        empty = HubProcess(Path(folder))
        try:
            await fill(hub.data, numbers, {"deep": jobs, "shallow": SHALLOW + 1})
            await _first_use(hub, report)
            await _restarts(hub, empty, report, jobs)
            await asyncio.to_thread(hub.start, PATIENCE)
            await _assignments(hub, report, numbers)
            await _lists(hub, report)
            await _submissions(empty, report, numbers, min(SUBMITTED, jobs))
        finally:
            await asyncio.to_thread(hub.kill)
            await asyncio.to_thread(empty.kill)
