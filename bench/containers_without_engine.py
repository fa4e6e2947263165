"""Containers without an engine beside the engine's bare calls and a bare runtime, in turns in one run."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from aiodocker import Docker

from asman_shared.messages import Finished
from asman_worker import load_config, run_worker
from asman_worker.images.engine import close_engine, open_engine
from asman_worker.oci.cgroups import Layout
from bench.measure import Report
from devtools import base_image
from devtools.fake_hub import Line, fake_hub, job
from devtools.patience import PATIENCE

NAME = "asman-bench/busybox:latest"
AT_ONCE = 4

Once = Callable[[str], Awaitable[None]]


async def measure(report: Report, image: str, jobs: int) -> None:
    """Adds the times of single jobs, and the number of jobs in a second at several at a time.

    Args:
        report: Receives the figures.
        image: The engine's image.
        jobs: Number of jobs of each kind.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        base_image.save(archive, NAME)
        docker, _ = await open_engine()
        try:
            async with (
                _worker(Path(folder) / "engine", local_images="*", pull="never") as engine,
                _worker(Path(folder) / "oci", executor="oci", oci_image=str(archive)) as oci,
            ):
                ways: dict[str, Once] = {
                    "bare calls of the engine": lambda name: _bare_engine(docker, image),
                    "Asman, executor docker": lambda name: run_job(engine, image, name),
                    "Asman, executor oci": lambda name: run_job(oci, NAME, name),
                }
                if (runtime := shutil.which("crun")) is not None:
                    bundle = _bundle(Path(folder) / "bundle")
                    ways["bare `crun run` with an overlay"] = lambda name: _bare_runtime(runtime, bundle, name)
                await _in_turns(report, ways, jobs)
        finally:
            await close_engine(docker)


async def _in_turns(report: Report, ways: dict[str, Once], jobs: int) -> None:
    alone: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(jobs + 1):
        for way, once in ways.items():
            began = time.perf_counter()
            await once(f"alone-{number}")
            if number:  # the first of each makes things ready
                alone[way].append((time.perf_counter() - began) * 1000)
    together: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(3):
        for way, once in ways.items():
            together[way].append(await _rate(once, jobs, f"together-{turn}"))
    engine = "bare calls of the engine"
    for way in ways:
        report.add(f"{way}: `true` at network none", "ms", alone[way])
    report.add("executor oci against bare calls", "x", [median(alone[engine]) / median(alone["Asman, executor oci"])])
    for way in ways:
        report.add(f"{way}: {AT_ONCE} at a time", "/s", together[way])
    report.add(
        f"executor oci against bare calls, {AT_ONCE} at a time",
        "x",
        [median(together["Asman, executor oci"]) / median(together[engine])],
    )


async def _rate(once: Once, jobs: int, name: str) -> float:
    """Returns the number of jobs in a second, several at a time."""
    names = iter([f"{name}-{number}" for number in range(jobs)])

    async def one_after_the_other() -> None:
        for each in names:
            await once(each)

    began = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return jobs / (time.perf_counter() - began)


@asynccontextmanager
async def _worker(folder: Path, **more: Any) -> AsyncIterator[Line]:
    await asyncio.to_thread(folder.mkdir)
    async with fake_hub() as hub:
        choices = {"queue": hub.url, "data_dir": folder, "network": "none", "cpus": AT_ONCE, **more}
        task = asyncio.create_task(run_worker(load_config(**choices), stop=asyncio.Event()))
        line = await hub.line()
        await line.answer()
        try:
            yield line
        finally:
            task.cancel()
            await asyncio.wait((task,))


async def run_job(line: Line, image: str, name: str) -> None:
    """Runs one job that does nothing, from its assignment to the worker's acknowledged result."""
    await line.assign(name, image=image, command="true")
    finished = await line.expect(Finished, lambda message: message.job == job(name))
    assert finished.outcome.exit_code == 0, finished.outcome.message
    await line.acknowledge(finished)


async def _bare_engine(docker: Docker, image: str) -> None:
    config: dict[str, Any] = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    container = await docker.containers.create(config)
    await container.start()
    await container.wait()
    await container.delete(force=True)


def _bundle(folder: Path) -> Path:
    """Makes a root and a configuration for a bare runtime: no limits, no rights taken away, no output kept."""
    root = folder / "rootfs"
    for each in ("bin", "proc", "dev"):
        (root / each).mkdir(parents=True)
    program = base_image.busybox()
    assert program is not None
    shutil.copy(program, root / "bin" / "true")
    config = {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": "merged"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": each} for each in ("pid", "network", "ipc", "uts", "mount")]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


async def _bare_runtime(runtime: str, bundle: Path, name: str) -> None:
    own = bundle / name
    for each in ("upper", "work", "merged"):
        (own / each).mkdir(parents=True)
    shutil.copy(bundle / "config.json", own)
    hide = "; ".join(f"umount -l {each}" for each in Layout.find().hidden) or "true"
    options = f"lowerdir={bundle / 'rootfs'},upperdir=upper,workdir=work"
    script = f"{hide}; mount -t overlay overlay -o {options} merged && exec {runtime} run asman-bench-{name}"
    process = await asyncio.create_subprocess_exec("unshare", "-m", "sh", "-c", script, cwd=own)
    async with asyncio.timeout(PATIENCE):
        assert await process.wait() == 0
    shutil.rmtree(own)
