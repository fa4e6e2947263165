"""Our own images: built by a real engine from bases made here, started, and seen to serve and to run jobs."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import asman
from asman_shared.messages import Finished
from devtools.base_image import busybox, root_tar
from devtools.engine import Engine
from devtools.fake_hub import FakeHub, Line, fake_hub, job
from tests.support.node import PATH
from tests.support.node_base import ensure_node
from tests.support.python_base import ensure_python

ROOT = Path(__file__).parents[2]
PARTS = (
    ".dockerignore", "pyproject.toml", "constraints.txt", "README.md", "LICENSE",
    "shared", "server", "worker", "client", "deploy", "build_tools",
)  # fmt: skip
NOT_SENT = ("__pycache__", "page", "node_modules")
ENGINE = (
    "dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-init", "docker-proxy",
    "iptables", "iptables-restore",
)  # fmt: skip
#: What an engine inside of a container needs; ``--privileged`` gives that and more, where the machine may give more.
RIGHTS = (
    "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--cap-add=SYS_PTRACE", "--cap-add=DAC_READ_SEARCH",
    "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
    "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup",
)  # fmt: skip


@dataclass(frozen=True)
class Images:
    """The names of our images."""

    hub: str
    worker: str
    standalone: str


@pytest.fixture(scope="module")
def images(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """All three, from the same bases and with the layers that they share."""
    source = tmp_path_factory.mktemp("source")
    for part in (*PARTS, "web", "docs"):
        place = ROOT / part
        if place.is_dir():
            shutil.copytree(place, source / part, ignore=shutil.ignore_patterns(*NOT_SENT))
        else:
            shutil.copy(place, source / part)
    fetch_python_packages(source / "deploy" / "wheels")
    cache = tmp_path_factory.mktemp("npm")
    fetch_page_packages(source / "web", cache)
    plugins = [path for path in Path("/usr/lib").glob("*/xtables") if path.is_dir()]
    bases = {
        "PYTHON_IMAGE": ensure_python(engine, "asman-test/python-engine:latest", ENGINE, plugins),
        "NODE_IMAGE": ensure_node(engine, "asman-test/node:latest", cache),
    }
    worker, standalone, hub = (build(source, each, bases) for each in ("worker", "worker-standalone", "hub"))
    return Images(hub, worker, standalone)


def fetch_python_packages(folder: Path) -> None:
    """Brings what the images install, as no package index is in reach where they are built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"], *extras["worker"]]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--only-binary=:all:"]
    command = [*pip, "-d", str(folder), "-c", str(ROOT / "constraints.txt"), *wanted, *extras["hub"]]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def fetch_page_packages(web: Path, cache: Path) -> None:
    """Brings what the page is built of into a cache of npm's own kind."""
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", f"--cache={cache}"]
    env = {**os.environ, "PATH": PATH}
    done = subprocess.run(command, cwd=web, env=env, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(web / "node_modules")


def build(source: Path, target: str, bases: dict[str, str]) -> str:
    name = f"asman-test/{target}:latest"
    given = [f"--build-arg={key}={value}" for key, value in {**bases, "PIP_NO_INDEX": "1"}.items()]
    done = subprocess.run(
        ["docker", "build", "-q", "-f", "deploy/Dockerfile", "--target", target, "-t", name, *given,
         "--network", "none", "."],
        cwd=source, env={**os.environ, "DOCKER_BUILDKIT": "0"},
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return name


@contextmanager
def running(*words: str) -> Iterator[str]:
    """A container as long as the block lasts, and its id; what it said is printed when the test fails."""
    container = subprocess.check_output(["docker", "run", "-d", *words], text=True).strip()
    try:
        yield container
    finally:
        subprocess.run(["docker", "stop", "-t", "20", container], check=False, capture_output=True)
        subprocess.run(["docker", "logs", container], check=False)
        subprocess.run(["docker", "rm", "-f", "-v", container], check=False, capture_output=True)


def about(thing: str) -> Any:
    """The engine's word on a container or image."""
    return json.loads(subprocess.check_output(["docker", "inspect", thing]))[0]


async def health(container: str) -> str:
    """What the image's own check says of a container, once it has said it."""
    command = ["docker", "events", "--since=0", "--filter=event=health_status", f"--filter=container={container}"]
    telling = await asyncio.create_subprocess_exec(
        *command, "--format={{.Status}}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert telling.stdout is not None
    said = (await telling.stdout.readline()).decode().strip()
    telling.kill()
    await telling.communicate()
    return said.removeprefix("health_status: ")


async def listening(container: str) -> None:
    """Returns once a hub's container says that it listens."""
    following = await asyncio.create_subprocess_exec(
        "docker", "logs", "--follow", container, stdout=subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert following.stderr is not None
    try:
        async for line in following.stderr:
            if b"hub listening" in line:
                return
    finally:
        with suppress(ProcessLookupError):
            following.kill()
        await following.communicate()
    raise AssertionError("the hub's container ended")


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
    raise AssertionError("the worker's container ended")


@pytest.mark.timeout(400)
async def test_the_workers_image_is_built_and_runs_a_job_beside_itself(
    engine: Engine, busybox_image: str, images: Images, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    socket = engine.host.removeprefix("unix://")
    async with fake_hub() as hub:
        with running(
            "--network=host", "--cap-add=NET_ADMIN",
            f"--volume={socket}:/var/run/docker.sock", f"--volume={tmp_path}:{tmp_path}",
            images.worker, "--max-job-duration=20m", f"--data-directory={data}", "--cpus=1",
            "--local-images=asman-test/*", hub.url,
        ) as container:  # fmt: skip
            line = await registered(hub, container)
            assert line.register.executor == "docker", "it could not set the rules of its jobs' network"
            await line.answer()
            await line.assign("a", image=busybox_image, command="echo from beside > /outputs/x; cat /outputs/x")
            finished = await line.expect(Finished, lambda m: m.job == job("a"))
            assert finished.outcome.exit_code == 0, finished.outcome.message
            assert hub.output(finished, "x") == b"from beside\n"
            await line.acknowledge(finished)
            check = about(images.worker)["Config"]["Healthcheck"]["Test"]
            assert check[0] == "CMD"
            assert subprocess.run(["docker", "exec", container, *check[1:]], check=False).returncode == 0


@pytest.mark.timeout(400)
async def test_the_hubs_image_serves_page_and_queues_without_being_root_and_a_worker_with_its_own_engine_runs_a_job(
    engine: Engine, images: Images, tmp_path: Path
) -> None:
    with running("--publish=127.0.0.1::8000", images.hub) as hub:
        await listening(hub)
        found = about(hub)
        network = found["NetworkSettings"]
        base = f"http://127.0.0.1:{network['Ports']['8000/tcp'][0]['HostPort']}"
        # An engine that has no image, and no registry in reach: the job brings all that it is made of.
        small = busybox()
        assert small is not None
        (tmp_path / "root.tar").write_bytes(root_tar(small))
        queue = secrets.token_hex(12)
        with running(*RIGHTS, images.standalone, f"--hub=http://{network['IPAddress']}:8000", queue):
            async with asman.connect(f"{base}/q/{queue}") as mine:
                built = {"context": tmp_path, "dockerfile": "FROM scratch\nADD root.tar /\n"}
                task = await mine.submit(build=built, command="echo from inside > /outputs/x; cat /outputs/x")
                result = await task.result(timeout=120)
                said = [line.text async for line in task.logs(follow=False) if line.phase == "running"]
                assert (said, result.exit_code) == (["from inside"], 0)
                assert list(result.outputs) == ["x"]
        status = Path(f"/proc/{found['State']['Pid']}/status").read_text()
        assert "Uid:\t10001\t10001\t10001\t10001" in status
        assert set(status.partition("CapEff:\t")[2].partition("\n")[0]) == {"0"}
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{base}/", timeout=20).read())
        assert b"<script" in page
        docs = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{base}/docs/worker.md", timeout=20).read())
        assert docs.startswith(b"# The worker")
        assert await health(hub) == "healthy"
