"""Toil, with its plugin for TES."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from devtools.asman_processes import asman_processes
from devtools.engine import Engine
from tests.engines.images import ensure_image
from tests.engines.running import DATA, ENVIRONMENTS, QUEUE, running

IMAGE: Final = "asman-test/toil:7.0.0-d569ea5711eb310ffd5703803f7250ebf7c19576"
"""With the commit of this Toil at its end: Toil then asks no registry about it."""


def toil(engine: Engine, folder: Path) -> str:
    """Runs a workflow of three jobs with a file job store, which is a folder that the worker shares."""
    environment = ENVIRONMENTS / "toil"
    image = ensure_image(engine, IMAGE, environment)
    shared = folder / "shared"
    shared.mkdir()
    with asman_processes(folder) as processes:
        hub = processes.hub()
        worker = processes.worker(
            hub.queue(QUEUE),
            *("--data-dir", str(folder / "worker"), "--local-images", image, "--cpus", "2"),
            *("--shared-folder", f"{shared}:rw"),
            environment={"DOCKER_HOST": engine.host},
        )
        worker.wait_for_output("registered at")
        variables = {"TOIL_APPLIANCE_SELF": image, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
        arguments = [str(DATA / "toil_workflow.py"), f"file:{shared / 'store'}", hub.queue(QUEUE)]
        command = [str(environment / "bin" / "python"), *arguments]
        with running(command, folder, variables, hub, worker) as run:
            said = run.ended()
            words = next((line for line in said.splitlines() if line.startswith("3 words on ")), "")
            if not words or words.endswith(os.uname().nodename):
                raise run.fail(f"the workflow returned {words!r}")
    return "the workflow ended well"
