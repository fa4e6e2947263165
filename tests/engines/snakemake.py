"""Snakemake, with its plugins for TES and S3."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from devtools import docker_api
from devtools.asman_processes import HubProcess, asman_processes
from devtools.engine import Engine
from tests.engines.images import ensure_image
from tests.engines.running import DATA, ENVIRONMENTS, LIMIT_SECONDS, QUEUE, Running, running, tasks
from tests.support.s3 import KEY, SECRET, S3Server

IMAGE: Final = "asman-test/snakemake:9.27.1"
PLUGIN: Final = "snakemake-storage-plugin-s3"
STARTS: Final = "INITIALIZING", "RUNNING"
RULES: Final = 2
LOG: Final = "funnel.log"
"""A file in the folder that GITHUB_WORKSPACE names, which the plugin shows when a task has failed; it must be there."""
WORDS: Final = "the words of that file"


def snakemake(engine: Engine, folder: Path) -> str:
    """Runs a workflow of two rules with a bucket for its files, and kills the hub while Snakemake waits for the first.

    Then it runs one that fails.

    Each rule is a task: a container that installs the storage plugin, and reads and writes the bucket. The image has
    the wheels, since containers may not reach a package index where the tests run.
    """
    environment = ENVIRONMENTS / "snakemake"
    image = _image(engine, environment, folder / "wheels")
    s3 = S3Server(_own_address())
    try:
        s3.start()
        bucket = s3.new_bucket()
        with asman_processes(folder) as processes:
            hub = processes.hub()
            worker = processes.worker(
                hub.queue(QUEUE),
                *("--data-dir", str(folder / "worker"), "--local-images", image, "--cpus", "2", "--network", "open"),
                environment={"DOCKER_HOST": engine.host},
            )
            worker.wait_for_output("registered at")
            place = folder / "workflow"
            place.mkdir()
            shutil.copy(DATA / "Snakefile", place)
            variables = {
                "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": s3.url,
                "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": KEY,
                "SNAKEMAKE_STORAGE_S3_SECRET_KEY": SECRET,
                "HOME": str(folder),
                "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
            }
            command = [
                *(str(environment / "bin" / "snakemake"), "--executor", "tes", "--tes-url", hub.queue(QUEUE)),
                *("--container-image", image, "--jobs", "2", "--seconds-between-status-checks", "3"),
                *("--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{bucket}"),
            ]
            with running(command, place, variables, hub, worker) as run:
                _wait_for_task(run, hub)
                hub.restart()
                run.ended()
                _check(run, hub, s3, bucket)
            (place / LOG).write_text(WORDS)
            workspace = {"GITHUB_WORKSPACE": str(place)}
            with running([*command, "broken.txt"], place, {**variables, **workspace}, hub, worker) as run:
                said = run.ended(1)
                if WORDS not in said or "Error in rule broken" not in said:
                    raise run.fail("it did not say which rule has failed")
    finally:
        s3.remove()
    return "a workflow ended well whose hub was killed while it waited, and one that fails said so"


def _image(engine: Engine, environment: Path, wheels: Path) -> str:
    """Makes the image, unless the engine has it, with the wheels of the storage plugin."""
    requirements = DATA / "snakemake.txt"
    name = f"{IMAGE}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    if not docker_api.has_image(engine.host, name):
        pip = [str(environment / "bin" / "python"), "-m", "pip", "download", "-qq", "--only-binary", ":all:"]
        subprocess.run([*pip, "--dest", str(wheels), "--constraint", str(requirements), PLUGIN], check=True)
    return ensure_image(engine, name, environment, wheels)


def _check(run: Running, hub: HubProcess, s3: S3Server, bucket: str) -> None:
    """Checks that both rules ran in containers, each once."""
    told = s3.read(bucket, "count.txt").decode().split()
    hosts = {told[3].rstrip(","), told[-1]} if len(told) > 3 else set()
    # `wc` counts the name of the host, too.
    if told[:3] != ["4", "words", "on"] or os.uname().nodename in hosts or len(hosts) != RULES:
        raise run.fail(f"the workflow made {told}")
    states = [each["state"] for each in tasks(hub)]
    if states != ["COMPLETE"] * RULES:
        raise run.fail(f"its tasks are {states}")


def _wait_for_task(run: Running, hub: HubProcess) -> None:
    """Waits until the first task is there: Snakemake then waits for 40 s before it asks for its state."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (found := tasks(hub)):
        if run.process.poll() is not None or time.monotonic() > deadline:
            raise run.fail("the engine created no task")
        time.sleep(0.2)
    if found[0]["state"] not in STARTS:
        raise run.fail(f"the first task is {found[0]['state']} at once")


def _own_address() -> str:
    """An address of this machine that containers reach, too. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))
        address: str = asking.getsockname()[0]
    return address
