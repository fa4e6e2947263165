"""The process of a workflow engine, and the environments that they are installed in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from devtools.asman_processes import AsmanProcess, HubProcess

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENTS: Final = ROOT / ".run" / "engines-clients"
DATA: Final = ROOT / "tests" / "data" / "engines_clients"
QUEUE: Final = "engines-2b7e151628aed2a6"
LIMIT_SECONDS: Final = 600
"""Time that a workflow may take, in seconds."""


class Running:
    """An engine that runs a workflow.

    Attributes:
        process: Its process.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: Path, beside: tuple[AsmanProcess, ...]) -> None:
        self.process = process
        self._output = output
        self._beside = beside

    @property
    def said(self) -> str:
        """Its output so far, of both streams."""
        return self._output.read_text(errors="replace")

    def fail(self, why: str) -> SystemExit:
        """Makes the error of a workflow that did not end well; shows what all processes and tasks have said."""
        for each in self._beside:
            print(f"--- {each.name}\n{each.tail()}", file=sys.stderr)
            if isinstance(each, HubProcess):
                for task in tasks(each, "FULL"):
                    print(f"--- task {task['id']}: {task['state']}\n{task.get('logs')}", file=sys.stderr)
        return SystemExit(f"{self.said[-9000:]}\n{why}")

    def ended(self, wanted: int = 0) -> str:
        """Waits for its end; returns its output.

        Args:
            wanted: The exit code that it should have.

        Raises:
            SystemExit: It has another one, or took too long.
        """
        try:
            code = self.process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.fail(f"the engine did not end within {LIMIT_SECONDS} s") from None
        if code != wanted:
            raise self.fail(f"the engine ended with {code}")
        return self.said


def tasks(hub: HubProcess, view: str = "MINIMAL") -> list[dict[str, Any]]:
    """Returns the tasks of the queue, the newest first."""
    with urllib.request.urlopen(f"{hub.queue(QUEUE)}/v1/tasks?view={view}", timeout=LIMIT_SECONDS) as answer:
        found: list[dict[str, Any]] = json.load(answer)["tasks"]
    return found


@contextmanager
def running(
    command: list[str], folder: Path, variables: dict[str, str], *beside: AsmanProcess | HubProcess
) -> Iterator[Running]:
    """Starts an engine; it is killed at the end of the block, if it still runs.

    Args:
        command: The command.
        folder: Its working directory, to which its output is written, too.
        variables: Its variables besides those of this process.
        beside: The processes whose output is shown if it fails.
    """
    output = folder / "engine.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(process, output, beside)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
