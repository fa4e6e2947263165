"""``python -m tests.engines``: runs the workflow engines to their end on a real hub, with a worker and containers."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from devtools.asman_processes import AsmanProcess, HubProcess, asman_processes
from devtools.engine import Engine, hold
from tests.engines.images import ensure_image

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENTS: Final = ROOT / ".run" / "engines-clients"
DATA: Final = ROOT / "tests" / "data" / "engines_clients"
QUEUE: Final = "engines-2b7e151628aed2a6"
TOIL_IMAGE: Final = "asman-test/toil:7.0.0-d569ea5711eb310ffd5703803f7250ebf7c19576"
"""With the commit of this Toil at its end: Toil then asks no registry about it."""
LIMIT_SECONDS: Final = 600
"""Time that a workflow may take, in seconds."""


def toil(engine: Engine, folder: Path) -> None:
    """Runs a workflow of three jobs with a file job store, which is a folder that the worker shares."""
    environment = ENVIRONMENTS / "toil"
    image = ensure_image(engine, TOIL_IMAGE, environment)
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
        said = _run([str(environment / "bin" / "python"), *arguments], variables, hub, worker)
        words = said.strip().rpartition("\n")[2]
        if not words.startswith("3 words on ") or words.endswith(os.uname().nodename):
            raise SystemExit(f"the workflow returned {words!r}")


def _run(command: list[str], variables: dict[str, str], *processes: AsmanProcess | HubProcess) -> str:
    """Runs an engine; returns its standard output."""
    done = subprocess.run(
        command,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        for process in processes:
            print(f"--- {process.name}\n{process.tail()}", file=sys.stderr)
        raise SystemExit(f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}\nthe engine ended with {done.returncode}")
    return done.stdout


ENGINES: Final[dict[str, Callable[[Engine, Path], None]]] = {"toil": toil}


def main() -> int:
    """Runs the engines that the arguments name, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines", description=__doc__)
    parser.add_argument("engines", nargs="*", help=f"which: {', '.join(ENGINES)}")
    wanted = parser.parse_args().engines or list(ENGINES)
    if unknown := set(wanted) - set(ENGINES):
        parser.error(f"there is no engine {', '.join(sorted(unknown))}")
    with hold() as engine:
        for name in wanted:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix=f"asman-{name}-", ignore_cleanup_errors=True) as folder:
                ENGINES[name](engine, Path(folder))
            print(f"{name}: the workflow ended well, in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
