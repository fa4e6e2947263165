"""Our own images: built by a real engine from a base made here, started, and seen to run a job."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asman_shared.messages import Finished
from scripts.engine import Engine
from tests.support.python_base import ensure_python
from tests.unit.worker.fake_hub import FakeHub, Line, fake_hub, job

ROOT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "shared", "server", "worker", "client", "deploy")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the images are built of, with the Python packages beside it."""
    folder = tmp_path_factory.mktemp("source")
    for part in PARTS:
        place = ROOT / part
        if place.is_dir():
            shutil.copytree(place, folder / part, ignore=shutil.ignore_patterns("__pycache__", "page"))
        else:
            shutil.copy(place, folder / part)
    wheels = folder / "deploy" / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", str(wheels)]
    wanted = ["-c", str(ROOT / "constraints.txt"), f"{ROOT}[worker]", "hatchling"]
    done = subprocess.run([*pip, *wanted], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def build(source: Path, target: str, base: str) -> str:
    name = f"asman-test/{target}:latest"
    done = subprocess.run(
        ["docker", "build", "-q", "-f", "deploy/Dockerfile", "--target", target, "-t", name,
         "--build-arg", f"PYTHON_IMAGE={base}", "--build-arg", "PIP_NO_INDEX=1", "--network", "none", "."],
        cwd=source, env={**os.environ, "DOCKER_BUILDKIT": "0"},
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return name


async def registered(hub: FakeHub, container: str) -> Line:
    """The worker's connection; when the container ends instead, what it said."""
    coming = asyncio.create_task(hub.line())
    ending = await asyncio.create_subprocess_exec("docker", "wait", container, stdout=subprocess.DEVNULL)
    ended = asyncio.create_task(ending.wait())
    await asyncio.wait((coming, ended), return_when=asyncio.FIRST_COMPLETED)
    if coming.done():
        ending.kill()
        await ended
        return coming.result()
    coming.cancel()
    said = subprocess.run(["docker", "logs", container], check=True, capture_output=True, text=True)
    raise AssertionError(said.stdout + said.stderr)


@pytest.mark.timeout(400)
async def test_the_workers_image_is_built_and_runs_a_job_beside_itself(
    engine: Engine, busybox_image: str, source: Path, tmp_path: Path
) -> None:
    image = build(source, "worker", ensure_python(engine, "asman-test/python:latest"))
    config = json.loads(subprocess.check_output(["docker", "inspect", image]))[0]["Config"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    data = tmp_path / "data"
    async with fake_hub() as hub:
        command = [
            "docker", "run", "-d", "--network", "host", "-v",
            f"{engine.host.removeprefix('unix://')}:/var/run/docker.sock", "-v", f"{tmp_path}:{tmp_path}", image,
            "--max-job-duration=20m", f"--data-directory={data}", "--cpus=1", "--network=none", hub.url,
        ]  # fmt: skip
        container = subprocess.check_output(command, text=True).strip()
        try:
            line = await registered(hub, container)
            await line.answer()
            await line.assign("a", image=busybox_image, command="echo from beside > /outputs/x; cat /outputs/x")
            finished = await line.expect(Finished, lambda m: m.job == job("a"))
            assert finished.outcome.exit_code == 0, finished.outcome.message
            assert hub.output(finished, "x") == b"from beside\n"
            await line.acknowledge(finished)
            health = ["docker", "exec", container, "python", "-c", config["Healthcheck"]["Test"][3]]
            assert subprocess.run(health, check=False).returncode == 0
        finally:
            for words in (["stop", "-t", "20"], ["rm", "-f"]):
                subprocess.run(["docker", *words, container], check=False, capture_output=True)
