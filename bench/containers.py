"""Containers: what Asman adds to bare engine calls, how many run at once, and how fast a cancel reaches them."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from aiodocker import Docker

from asman_shared.definition import Build, DataRef
from asman_shared.messages import Abort, Finished, LogBatch, PhaseReport, Released
from asman_shared.states import Phase
from asman_worker import load_config, run_worker
from asman_worker.images.engine import close_engine, open_engine
from bench import containers_without_engine
from bench.containers_without_engine import run_job
from bench.measure import Report
from devtools.base_image import ensure
from devtools.engine import hold
from devtools.fake_hub import FakeHub, Line, fake_hub, job
from devtools.registry import running_registry

NETWORKS = ("internet", "none")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--jobs", type=int, default=30, help="jobs one after the other, for each figure")
    parser.add_argument("--part", choices=["all", "engine", "oci"], default="all", help="what to measure")


def run(wanted: argparse.Namespace) -> Report:
    """Measures all of it on one engine."""
    report = Report("containers")
    with hold() as engine:
        os.environ["DOCKER_HOST"] = engine.host
        image = ensure(engine.host)
        if wanted.part != "engine":
            asyncio.run(containers_without_engine.measure(report, image, wanted.jobs))
        if wanted.part != "oci":
            asyncio.run(_measure(report, image, wanted.jobs))
    report.notes += [
        "Bare: create, start, wait and remove by aiodocker, one after the other, on the engine's own network or none.",
        "Asman: from the hub's assign to the worker's finished (result on disk), one job after the other;",
        "the container is removed after that. It has the whole sandbox: rights, limits, init, mounts, network.",
        "Cancel: from the hub's abort to the worker's word that nothing is left.",
    ]
    return report


async def _measure(report: Report, image: str, jobs: int) -> None:
    bare: dict[str, list[float]] = {"internet": [], "none": []}
    ours: dict[str, list[float]] = {"internet": [], "none": []}
    docker, _ = await open_engine()
    try:
        for network in NETWORKS:
            async with _worker(network) as line:
                # In turns, so that both meet the same machine.
                for number in range(jobs):
                    bare[network].append(await _timed(lambda n=network: _bare(docker, image, n)))  # type: ignore[misc]
                    ours[network].append(await _timed(lambda n=number: run_job(line, image, f"{n}")))  # type: ignore[misc]
    finally:
        await close_engine(docker)
    for network in NETWORKS:
        report.add(f"bare calls for `true`, network {network}", "ms", bare[network])
        report.add(f"Asman for `true`, network {network}", "ms", ours[network])
        ratio = median(ours[network]) / median(bare[network])
        report.add(f"Asman against bare, network {network}", "x", [ratio], "about 1")
    await _at_once(report, image)
    await _cancels(report, image)


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


async def _bare(docker: Docker, image: str, network: str) -> None:
    mode = {"NetworkMode": "none"} if network == "none" else {}
    config: dict[str, Any] = {"Image": image, "Cmd": ["true"], "HostConfig": mode}
    container = await docker.containers.create(config)
    await container.start()
    await container.wait()
    await container.delete(force=True)


@asynccontextmanager
async def _worker(network: str, **more: Any) -> AsyncIterator[Line]:
    """The connection of a worker."""
    async with _pair(network, **more) as (_, line):
        yield line


@asynccontextmanager
async def _pair(network: str, **more: Any) -> AsyncIterator[tuple[FakeHub, Line]]:
    """A worker and the hub that tells it what to do."""
    with tempfile.TemporaryDirectory() as folder:
        async with fake_hub() as hub:
            task = await _started(hub, Path(folder), network, more)
            line = await hub.line()
            await line.answer()
            try:
                yield hub, line
            finally:
                task.cancel()
                await asyncio.wait((task,))


async def _started(hub: FakeHub, folder: Path, network: str, more: dict[str, Any]) -> asyncio.Task[int]:
    choices = {"queue": hub.url, "data_dir": folder, "network": network, "pull": "never", "local_images": "*", **more}
    config = load_config(**choices)
    return asyncio.create_task(run_worker(config, stop=asyncio.Event()))


async def _at_once(report: Report, image: str) -> None:
    """As many as there are cpus, each waiting a second: together they take about one."""
    count = os.cpu_count() or 1
    async with _worker("none") as line:

        async def one(number: int) -> None:
            name = f"once-{number}"
            await line.assign(name, image=image, command="sleep 1")
            await line.expect(Finished, lambda message: message.job == job(name))

        together = await _timed(lambda: _all([one(number) for number in range(count)]))
    report.add(f"{count} containers of one second at once", "ms", [together], "little over 1,000")


async def _all(work: list[Awaitable[None]]) -> None:
    await asyncio.gather(*work)


async def _cancels(report: Report, image: str) -> None:
    async with _worker("none") as line:
        times: list[float] = []
        for number in range(10):
            name = f"cancel-{number}"
            await line.assign(name, image=image, command=["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
            await line.expect(PhaseReport, lambda m, n=name: m.job == job(n) and m.phase is Phase.RUNNING)  # type: ignore[misc]
            times.append(await _timed(lambda n=name: _abort(line, n)))  # type: ignore[misc]
        report.add("cancel of a running container that ignores SIGTERM", "ms", times, "under 1,000")
        built: list[float] = []
        for number in range(5):
            name = f"build-{number}"
            text = f"FROM {image}\nLABEL once={time.time_ns()}\nRUN echo begun-{number}; sleep 600\n"
            await line.assign(name, build=_build(text), command="true")
            await line.expect(
                LogBatch,
                lambda m, n=number: any(each.text == f"begun-{n}" for each in m.lines),  # type: ignore[misc]
            )
            built.append(await _timed(lambda n=name: _abort(line, n)))  # type: ignore[misc]
        report.add("cancel of a build", "ms", built, "under 1,000")
    await _cancels_of_transfers(report, image)
    await _cancels_of_pulls(report)


async def _cancels_of_transfers(report: Report, image: str) -> None:
    """While inputs come and while outputs leave, from and to a hub whose blobs have stopped moving."""
    async with _pair("none") as (hub, line):
        hub.open.clear()
        staged: list[float] = []
        for number in range(10):
            name = f"staged-{number}"
            sha256 = hub.store(os.urandom(1000))
            await line.assign(name, image=image, command="true", inputs={"x": DataRef(sha256, "key")})
            await hub.held_up.acquire()
            staged.append(await _timed(lambda n=name: _abort(line, n)))  # type: ignore[misc]
        report.add("cancel while inputs come", "ms", staged, "under 1,000")
        sent: list[float] = []
        for number in range(10):
            name = f"sent-{number}"
            await line.assign(name, image=image, command=f"head -c {10**6 + number} /dev/zero > /outputs/x")
            await hub.held_up.acquire()
            sent.append(await _timed(lambda n=name: _abort(line, n)))  # type: ignore[misc]
        report.add("cancel while outputs leave", "ms", sent, "under 1,000")


async def _cancels_of_pulls(report: Report) -> None:
    """While an image comes, from a registry whose layers have stopped moving."""
    async with running_registry() as registry, _worker("none", pull="missing", allow_host="127.0.0.1") as line:
        registry.open.clear()
        times: list[float] = []
        for number in range(10):
            name = f"pulled-{number}"
            image = registry.add(f"bench-{time.time_ns()}", {"x": os.urandom(1000)})
            await line.assign(name, image=image, command="true")
            await line.expect(PhaseReport, lambda m, n=name: m.job == job(n) and m.phase is Phase.PULLING)  # type: ignore[misc]
            times.append(await _timed(lambda n=name: _abort(line, n)))  # type: ignore[misc]
        report.add("cancel of a pull", "ms", times, "under 1,000")


def _build(text: str) -> Build:
    return Build(dockerfile=text)


async def _abort(line: Line, name: str) -> None:
    await line.send(Abort(job(name), 1))
    await line.expect(Released, lambda message: message.job == job(name))
